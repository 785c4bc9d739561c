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

export function link(role) {
  return distribution(["sign-in", "--org", things.org, "--role", role, "--url", process.env.DASHBOARD]);
}

/** Publishes a revision of a unit whose description says `words`. */
export async function publish(unit, revision, words) {
  const message = JSON.parse(readFileSync(process.env.UNIT, "utf8"));
  Object.assign(message, { org_id: things.org, account_id: things.account, unit_id: unit, revision });
  message.unit.description.en = words;
  await distribution(["unit", "publish", "-"], JSON.stringify(message) + "\n");
}

export async function signIn(page, role) {
  await page.goto(await link(role));
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL((url) => url.pathname !== "/sign-in");
}

/** `as(role)` is a new page of somebody who is signed in; a worker signs in once for each role. */
export const test = base.extend({
  people: [
    async ({ browser }, use) => {
      const people = new Map();
      await use(async (role) => {
        if (!people.has(role)) {
          const context = await browser.newContext();
          const page = await context.newPage();
          await signIn(page, role);
          await page.close();
          people.set(role, context);
        }
        return people.get(role);
      });
      for (const context of people.values()) await context.close();
    },
    { scope: "worker" },
  ],
  as: async ({ people }, use, info) => {
    const pages = [];
    await use(async (role) => {
      const page = await (await people(role)).newPage();
      pages.push(page);
      return page;
    });
    for (const [number, page] of pages.entries()) {
      if (info.status !== info.expectedStatus) await page.screenshot({ path: info.outputPath(`page-${number}.png`) });
      await page.close();
    }
  },
});
