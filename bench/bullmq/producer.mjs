// The upstream of the peer: adds jobs and ends. It reads one JSON object per line from stdin, each with a queue, an
// `after_ms` from the start and the job's data, and prints for each when it was added, in microseconds of the epoch.
import { createInterface } from 'node:readline';
import { Queue } from 'bullmq';

const settings = JSON.parse(process.argv[2]);
const connection = { path: settings.redis };
const queues = new Map();
const queueOf = (name) => {
  if (!queues.has(name)) queues.set(name, new Queue(name, { connection }));
  return queues.get(name);
};
// Finished jobs are removed, or Redis would grow without end: what everyone sets.
const opts = { removeOnComplete: true, attempts: 5, backoff: { type: 'exponential', delay: 2000 } };

const jobs = [];
for await (const line of createInterface({ input: process.stdin })) jobs.push(JSON.parse(line));

if (settings.bulk) {
  for (let at = 0; at < jobs.length; at += 1000) {
    const batches = new Map();
    for (const job of jobs.slice(at, at + 1000)) {
      if (!batches.has(job.queue)) batches.set(job.queue, []);
      batches.get(job.queue).push({ name: 'sync', data: job.data, opts });
    }
    for (const [queue, batch] of batches) await queueOf(queue).addBulk(batch);
  }
} else {
  for (const queue of new Set(jobs.map((job) => job.queue))) await queueOf(queue).waitUntilReady();
  const start = performance.now();
  const adds = jobs.map(async ({ queue, after_ms, data }) => {
    await new Promise((resume) => setTimeout(resume, Math.max(0, after_ms - (performance.now() - start))));
    const at_us = Math.round((performance.timeOrigin + performance.now()) * 1000);
    await queueOf(queue).add('sync', data, opts);
    return { listing: data.listing, at_us };
  });
  for (const added of await Promise.all(adds)) console.log(JSON.stringify(added));
}
await Promise.all([...queues.values()].map((queue) => queue.close()));
