// The worker: per job one HTTP PUT of the job's body and one audit row in Postgres. One process, as BullMQ is run.
import { Worker } from 'bullmq';
import pg from 'pg';
import { Pool } from 'undici';

const settings = JSON.parse(process.argv[2]);
// 16 connections, like our service.
const database = new pg.Pool({ connectionString: settings.database, max: 16 });
const channel = new Pool(settings.channel, { connections: settings.concurrency, pipelining: 1 });

const AUDIT = `INSERT INTO audit (job_id, listing_id, account_id, idempotency_key, outcome, status, started_at, finished_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, now())`;

async function sync(job) {
  const { listing, account, body } = job.data;
  const started = new Date();
  const { statusCode, body: answer } = await channel.request({
    path: `/v1/listings/${listing}`,
    method: 'PUT',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${account}` },
    body: JSON.stringify(body),
  });
  await answer.json();
  if (statusCode !== 200) throw new Error(`the channel answered ${statusCode}`);
  await database.query({
    name: 'audit',
    text: AUDIT,
    values: [job.id, listing, account, `${listing}:${job.id}`, 'accepted', statusCode, started],
  });
}

const connection = { path: settings.redis, maxRetriesPerRequest: null };
const workers = settings.queues.map(
  (queue) =>
    new Worker(queue, sync, {
      connection,
      concurrency: settings.concurrency,
      ...(settings.limit ? { limiter: settings.limit } : {}),
    }),
);
for (const worker of workers) {
  worker.on('error', (error) => console.error(error));
  worker.on('failed', (_, error) => console.error(error));
}
await Promise.all(workers.map((worker) => worker.waitUntilReady()));
console.log('ready');
