// The service as a test needs it beside the browser: its command line, a published change, a session.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

export const things = JSON.parse(process.env.THINGS ?? "{}");

export function distribution(args, input) {
  return execFileSync(process.env.DISTRIBUTION, args, { input, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"] }).trim();
}

export function link(role) {
  return distribution(["sign-in", "--org", things.org, "--role", role, "--url", process.env.DASHBOARD]);
}

/** Publishes a revision of a unit whose description says `words`. */
export function publish(unit, revision, words) {
  const message = JSON.parse(readFileSync(process.env.UNIT, "utf8"));
  Object.assign(message, { org_id: things.org, account_id: things.account, unit_id: unit, revision });
  message.unit.description.en = words;
  distribution(["unit", "publish", "-"], JSON.stringify(message) + "\n");
}

export async function signIn(page, role) {
  await page.goto(link(role));
  await page.getByRole("button", { name: "Sign in" }).click();
}
