// The service as a test needs it beside the browser: its command line, a published change, people who are signed in.
import { test as base } from "@playwright/test";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";

export const things = JSON.parse(process.env.THINGS ?? "{}");

export async function distribution(args, input) {
  const running = promisify(execFile)(process.env.DISTRIBUTION, args, { encoding: "utf8" });
  running.child.stdin.end(input ?? "");
  return (await running).stdout.trim();
}

export function link(role, org = things.org) {
  return distribution(["sign-in", "--org", org, "--role", role, "--url", process.env.DASHBOARD]);
}

/** Publishes a revision of a unit whose description says `words`. */
export async function publish(unit, revision, words) {
  const message = JSON.parse(readFileSync(process.env.UNIT, "utf8"));
  Object.assign(message, { org_id: things.org, account_id: things.account, unit_id: unit, revision });
  message.unit.description.en = words;
  await distribution(["unit", "publish", "-"], JSON.stringify(message) + "\n");
}

export async function signIn(page, role, org = things.org) {
  await page.goto(await link(role, org));
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL((url) => url.pathname !== "/sign-in");
}

/** `as(role, org)` is a new page of somebody who is signed in; a worker signs in once for each role and organisation. */
export const test = base.extend({
  people: [
    async ({ browser }, use) => {
      const people = new Map();
      await use(async (role, org = things.org) => {
        const who = `${role} of ${org}`;
        if (!people.has(who)) {
          const context = await browser.newContext();
          const page = await context.newPage();
          await signIn(page, role, org);
          await page.close();
          people.set(who, context);
        }
        return people.get(who);
      });
      for (const context of people.values()) await context.close();
    },
    { scope: "worker" },
  ],
  as: async ({ people }, use, info) => {
    const pages = [];
    await use(async (role, org) => {
      const page = await (await people(role, org)).newPage();
      pages.push(page);
      return page;
    });
    for (const [number, page] of pages.entries()) {
      if (info.status !== info.expectedStatus) await page.screenshot({ path: info.outputPath(`page-${number}.png`) });
      await page.close();
    }
  },
});
