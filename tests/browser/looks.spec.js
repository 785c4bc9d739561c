// Every page: accessible, and as wide as its window, on a desktop and on a phone, by light and in the dark; also where there is
// nothing yet, and where something is wrong.
import { expect } from "@playwright/test";
import { judge } from "./judge.js";
import { test, things } from "./service.js";

const pages = {
  "sign-in": "/sign-in",
  overview: "/",
  targets: "/targets",
  target: `/targets/${things.target}`,
  "target-history": `/targets/${things.target}/history`,
  listings: "/listings",
  listing: `/listings/${things.listing}`,
  "listing-history": `/listings/${things.listing}/history`,
  "listing-at": `/listings/${things.listing}/at/2`,
  "listing-at-taken": `/listings/${things.listing}/at/4`,
  "listing-preview": `/listings/${things.listing}/preview`,
  sync: `/syncs/${things.sync}`,
  "sync-all-fields": `/syncs/${things.sync}?fields=all`,
  "sync-failed": `/syncs/${things.failed}`,
  "target-refused": `/targets/${things.refused}`,
  audit: "/audit",
  search: "/search?q=villa",
  "search-empty": "/search?q=nowhere",
  "dead-letters": "/dead-letters",
  problems: "/problems",
  problem: "/problems/forbidden",
};

const empty = {
  "empty-overview": ["/", "No target needs anybody"],
  "empty-targets": ["/targets", "No targets here"],
  "empty-listings": ["/listings", "No listings here"],
  "empty-audit": ["/audit", "No sync like that"],
  "empty-dead-letters": ["/dead-letters", "No dead letters"],
};

const wrong = {
  "not-found": [`/listings/${things.absent}`, 404, "Not found"],
  "no-page": ["/nowhere", 404, "Not found"],
  "bad-request": ["/targets?helth=bad", 400, "Invalid request"],
};

test.describe.configure({ mode: "parallel" });

for (const [name, path] of Object.entries(pages)) {
  test(`${name} is accessible and fits`, async ({ as }) => {
    expect(await judge(await as("owner"), name, path)).toBe(200);
  });
}

test("a filter that cannot be used is accessible, fits and says so at its field", async ({ as }) => {
  const page = await as("viewer");
  expect(await judge(page, "filter-misread", "/audit?since=29+Nov+12%3A00&target_id=strict&outcome=failed")).toBe(400);
  await expect(page.getByLabel("Since (UTC)")).toHaveValue("29 Nov 12:00");
  await expect(page.getByLabel("Since (UTC)")).toHaveAccessibleDescription(/in UTC/);
  await expect(page.getByLabel("Target", { exact: true })).toHaveValue("strict");
  await expect(page.getByLabel("Outcome")).toHaveValue("failed");
});

// Between a phone and a desktop, on paper (700 to 800) and at a zoom of 400 % (320).
for (const width of [320, 700, 768, 820, 900, 1000, 1001]) {
  test(`who was synced, where and what can be read at ${width} px`, async ({ as }) => {
    const page = await as("owner");
    await page.setViewportSize({ width, height: 900 });
    for (const path of ["/", "/audit"]) {
      await page.goto(path);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect.soft(over, `${path} is wider than the window`).toBeLessThanOrEqual(0);
      const seen = page.locator(".syncs :is(th, tr[data-sync] td)").filter({ visible: true });
      const narrow = await seen.evaluateAll((cells) => cells.filter((cell) => cell.offsetWidth < 58).map((cell) => `${cell.textContent}: ${cell.offsetWidth}`));
      expect.soft(await page.locator(".syncs .unit a").filter({ visible: true }).count()).toBeGreaterThan(3);
      expect.soft(narrow, path).toEqual([]);
      // What has no column of its own has a line below.
      const target = page.locator(".syncs :is(td.wide, tr.below) a[href^='/targets/']").filter({ visible: true }).first();
      expect.soft((await target.boundingBox()).width).toBeGreaterThan(55);
      await target.click({ trial: true });
    }
  });
}

test("an id as long as it may be takes no other's room, in lists and on its own pages", async ({ as }) => {
  const page = await as("owner");
  for (const width of [1280, 820, 390]) {
    await page.setViewportSize({ width, height: 900 });
    await page.goto("/listings");
    const over = await page.locator("div.scroll").evaluate((list) => list.scrollWidth - list.clientWidth);
    expect.soft(over, `the list at ${width}`).toBeLessThanOrEqual(0);
    const cell = page.getByRole("cell").filter({ has: page.locator(`a[href="/listings/${things.long}"]`) });
    expect.soft((await cell.boundingBox()).width).toBeLessThanOrEqual(width / 2);
    for (const own of ["", "/at/1", "/history", "/preview"]) {
      await page.goto(`/listings/${things.long}${own}`);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect.soft(over, `its page${own} at ${width}`).toBeLessThanOrEqual(0);
    }
  }
});

test("on paper it is light for those who look in the dark, plots too, and states have their marks", async ({ as }) => {
  const page = await as("viewer");
  const light = { ground: "rgb(251, 251, 249)", line: "rgb(11, 110, 99)" };
  const dark = { ground: "rgb(18, 22, 20)", line: "rgb(98, 205, 188)" };
  const colours = () => page.evaluate(() => ({
    ground: getComputedStyle(document.body).backgroundColor,
    line: getComputedStyle(document.querySelector("#plot-age .u-series:last-child .u-marker")).borderTopColor,
  }));
  await page.emulateMedia({ colorScheme: "dark" });
  await page.goto("/");
  await expect(page.locator(".plot .u-legend")).toHaveCount(9);
  expect(await colours()).toEqual(dark);
  await page.emulateMedia({ colorScheme: "dark", media: "print" });
  await expect.poll(colours).toEqual(light);
  expect(await page.locator("#recent .state").first().evaluate((state) => getComputedStyle(state, "::before").printColorAdjust ?? getComputedStyle(state, "::before").webkitPrintColorAdjust)).toBe("exact");
  await page.emulateMedia({ colorScheme: "dark", media: "screen" });
  await expect.poll(colours).toEqual(dark);
  // A browser that prints says so before it looks for what holds on paper.
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  await expect.poll(async () => (await colours()).line).toBe(light.line);
  await page.evaluate(() => dispatchEvent(new Event("afterprint")));
  await expect.poll(colours).toEqual(dark);
});

for (const [name, [path, words]] of Object.entries(empty)) {
  test(`${name} is accessible, fits and says what there could be`, async ({ as }) => {
    const page = await as("owner", things.quiet);
    expect(await judge(page, name, path)).toBe(200);
    await expect(page.locator(".empty").filter({ hasText: words })).toBeVisible();
  });
}

for (const [name, [path, status, title]] of Object.entries(wrong)) {
  test(`${name} is accessible, fits and leads back`, async ({ as }) => {
    const page = await as("owner");
    expect(await judge(page, name, path)).toBe(status);
    await expect(page.getByRole("heading", { name: title })).toBeVisible();
    await expect(page.getByRole("link", { name: "To the overview" })).toBeVisible();
  });
}
