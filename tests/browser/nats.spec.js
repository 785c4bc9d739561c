// What people see while NATS is away: it stands still while an overview is open. THINGS has the id of its process.
import { expect } from "@playwright/test";
import { judge } from "./judge.js";
import { test, things } from "./service.js";

const signal = (name) => process.kill(things.nats, name);
test.afterEach(() => signal("SIGCONT"));

/** Where each part of the page begins. */
const places = (page) => page.evaluate(() => [...document.querySelectorAll("section h2")].map((one) => one.getBoundingClientRect().top + scrollY));

/** By less than a pixel: what a figure of another font's height does. */
const standStill = async (page, before) => {
  const moved = (await places(page)).map((top, index) => Math.abs(top - before[index]));
  expect(moved).toHaveLength(before.length);
  expect(Math.max(...moved), `moved by ${moved}`).toBeLessThan(1);
};

for (const [name, viewport] of Object.entries({ desktop: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } })) {
  test(`an open overview says since when NATS is away, moves nothing, and forgets it: ${name}`, async ({ as }) => {
    test.setTimeout(150_000);
    const page = await as("viewer");
    await page.setViewportSize(viewport);
    await page.goto("/");
    await expect(page.locator("#live")).toHaveText("live");
    const attention = page.locator("#attention");
    await expect(attention).toContainText("Each of them answers", { timeout: 30_000 });
    const before = await places(page);
    signal("SIGSTOP");
    await expect(attention).toContainText("NATS is away since", { timeout: 60_000 });
    await expect(attention.locator(".trouble time")).toBeVisible();
    await expect(attention).not.toContainText("Each of them answers");
    await standStill(page, before);
    const over = await attention.evaluate((part) => [part.firstElementChild.scrollHeight - part.firstElementChild.clientHeight, document.documentElement.scrollWidth - innerWidth]);
    expect(Math.max(...over), "it has its room").toBeLessThanOrEqual(0);
    // The page stays live meanwhile.
    await expect(page.locator("#live")).toHaveText("live");
    signal("SIGCONT");
    await expect(attention).toContainText("Each of them answers", { timeout: 60_000 });
    await standStill(page, before);
  });
}

test("an overview without NATS is accessible and fits", async ({ as }) => {
  test.setTimeout(120_000);
  const page = await as("viewer");
  signal("SIGSTOP");
  await expect(async () => {
    await page.goto("/");
    await expect(page.locator("#attention")).toContainText("NATS is away since", { timeout: 500 });
  }).toPass({ timeout: 60_000 });
  expect(await judge(page, "nats-away", "/")).toBe(200);
});
