// What people do with the dashboard, in a real Chromium against a real service with a sandbox behind it.
import { AxeBuilder } from "@axe-core/playwright";
import { expect, test } from "@playwright/test";
import { publish, signIn, things } from "./service.js";

const shots = process.env.SCREENSHOTS;

function pages() {
  return {
    overview: "/",
    targets: "/targets",
    target: `/targets/${things.target}`,
    listings: "/listings",
    listing: `/listings/${things.listing}`,
    "listing-at": `/listings/${things.listing}/at/2`,
    sync: `/syncs/${things.sync}`,
    audit: "/audit",
    search: "/search?q=villa",
    "search-empty": "/search?q=nowhere",
    "dead-letters": "/dead-letters",
    "not-found": `/listings/${things.absent}`,
  };
}

test("a person signs in with a link, which works once", async ({ page }) => {
  await signIn(page, "owner");
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByRole("heading", { name: "You are signed out" })).toBeVisible();
  await page.goto("/targets");
  await expect(page).toHaveURL(/\/sign-in\?return_to=%2Ftargets/);
});

test("a sync arrives without a reload, and keeps what has the focus", async ({ page }) => {
  await signIn(page, "owner");
  await expect(page.locator("#live")).toHaveText("live");
  const row = page.locator("#recent tbody tr").first();
  await row.getByRole("link").first().focus();
  const before = await page.locator("#recent tbody tr").count();
  publish(things.unit, 2, "A new terrace.");
  // From the publishing to the page, through intake, relay, projector, dispatcher and channel.
  await expect(page.locator("#recent tbody tr")).toHaveCount(before + 1, { timeout: 15_000 });
  await expect(page.locator("#recent tbody tr").first()).toContainText("accepted");
  await expect(page.locator("#recent a:focus")).toHaveCount(1);
});

test("a listing's sync shows what it sent, field by field", async ({ page }) => {
  await signIn(page, "owner");
  await page.goto(`/listings/${things.listing}`);
  await page.locator("#timeline").getByRole("link", { name: /^sync / }).first().click();
  await expect(page.locator("#difference")).toContainText("A new terrace.");
  await expect(page.locator("#calls tbody tr").first()).toContainText("200");
});

test("a person replays a state of the past after a look at what it changes", async ({ page }) => {
  await signIn(page, "channel-publisher");
  await page.goto(`/listings/${things.listing}/at/2`);
  await page.getByText("What sending it again would change").click();
  await expect(page.locator("main")).toContainText("A new terrace.");
  await page.getByText("Send this state again…").click();
  await page.getByLabel("Why?").fill("the terrace is not ready");
  await page.getByRole("button", { name: "Send this state" }).click();
  await expect(page).toHaveURL(`/listings/${things.listing}`);
  await expect(page.locator("#timeline li").first()).toContainText("accepted", { timeout: 15_000 });
  await expect(page.locator("#timeline")).toContainText("the terrace is not ready");
});

test("a Viewer is offered nothing that a Viewer may not do, and is refused it", async ({ page }) => {
  await signIn(page, "viewer");
  await page.goto(`/targets/${things.target}`);
  await expect(page.getByRole("heading", { name: "Settings" })).toBeVisible();
  await expect(page.getByText("Pause…")).toHaveCount(0);
  await page.goto(`/listings/${things.listing}`);
  await expect(page.getByText("Send all of it again…")).toHaveCount(0);
  // Tried all the same, with the form that an Owner would have.
  const answer = page.waitForResponse((response) => response.url().endsWith("/pause"));
  await page.evaluate((target) => {
    const form = document.querySelector('form[action="/sign-out"]');
    form.action = `/targets/${target}/pause`;
    form.submit();
  }, things.target);
  expect((await answer).status()).toBe(403);
  await expect(page.getByRole("heading", { name: "Not allowed" })).toBeVisible();
});

test("an Owner pauses a target and lets it go on, by keyboard alone", async ({ page }) => {
  await signIn(page, "owner");
  await page.keyboard.press("g");
  await page.keyboard.press("t");
  await expect(page.getByRole("heading", { name: "Targets" })).toBeVisible();
  await page.goto(`/targets/${things.target}`);
  await page.locator("summary", { hasText: "Pause…" }).focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await page.keyboard.type("prices are being checked");
  await page.keyboard.press("Enter");
  await expect(page.locator("#now")).toContainText("prices are being checked", { timeout: 10_000 });
  await page.getByRole("button", { name: "Resume" }).click();
  await expect(page.locator("#now")).toContainText("active", { timeout: 10_000 });
});

test("search finds a listing by the id that the channel gave it", async ({ page }) => {
  await signIn(page, "viewer");
  await page.waitForLoadState("load");
  await page.keyboard.press("/");
  await expect(page.locator("#search")).toBeFocused();
  await page.keyboard.type(things.external);
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(`/listings/${things.listing}`);
});

test("times are the viewer's own, with UTC on hover", async ({ page }) => {
  await signIn(page, "viewer");
  await page.goto(`/syncs/${things.sync}`);
  const time = page.locator("#facts time").first();
  const [text, title, at] = await time.evaluate((time) => [time.textContent, time.title, time.dateTime]);
  const hour = (new Date(at).getUTCHours() + 8) % 24;
  expect(text).toContain(` ${String(hour).padStart(2, "0")}:`);
  expect(title).toContain("UTC");
});

for (const colorScheme of ["light", "dark"]) {
  for (const [device, width] of [["desktop", 1360], ["phone", 390]]) {
    test(`every page is accessible and fits: ${colorScheme}, ${device}`, async ({ browser }) => {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 }, timezoneId: "Asia/Makassar" });
      const page = await context.newPage();
      const policed = [];
      page.on("console", (message) => { if (/Content Security Policy/.test(message.text())) policed.push(message.text()); });
      const look = async (name) => {
        await page.screenshot({ path: `${shots}/${name}-${colorScheme}-${device}.png`, fullPage: true });
        const { violations } = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]).analyze();
        expect.soft(violations.map(({ id, nodes }) => `${name} ${id}: ${nodes[0].html}`)).toEqual([]);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        expect.soft(over, `${name} is wider than the page`).toBeLessThanOrEqual(0);
      };
      await page.goto("/sign-in");
      await look("sign-in");
      await signIn(page, "owner");
      for (const [name, path] of Object.entries(pages())) {
        await page.goto(path);
        await look(name);
      }
      expect(policed).toEqual([]);
      await context.close();
    });
  }
}
