// Every page: accessible, and as wide as its window, on a desktop and on a phone, by light and in the dark.
import { AxeBuilder } from "@axe-core/playwright";
import { expect } from "@playwright/test";
import { test, things } from "./service.js";

const shots = process.env.SCREENSHOTS;
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };

const pages = {
  "sign-in": "/sign-in",
  overview: "/",
  targets: "/targets",
  target: `/targets/${things.target}`,
  listings: "/listings",
  listing: `/listings/${things.listing}`,
  "listing-at": `/listings/${things.listing}/at/2`,
  "listing-preview": `/listings/${things.listing}/preview`,
  sync: `/syncs/${things.sync}`,
  "sync-failed": `/syncs/${things.failed}`,
  "target-refused": `/targets/${things.refused}`,
  audit: "/audit",
  search: "/search?q=villa",
  "search-empty": "/search?q=nowhere",
  "dead-letters": "/dead-letters",
  "not-found": `/listings/${things.absent}`,
};

test.describe.configure({ mode: "parallel" });

for (const [name, path] of Object.entries(pages)) {
  test(`${name} is accessible and fits`, async ({ as }) => {
    const page = await as("owner");
    const policed = [];
    page.on("console", (message) => { if (/Content Security Policy/.test(message.text())) policed.push(message.text()); });
    await page.setViewportSize(DESKTOP);
    await page.emulateMedia({ colorScheme: "light" });
    await page.goto(path);
    // What is folded is a part of the page.
    await page.locator("details:not(.action)").evaluateAll((all) => all.forEach((details) => { details.open = true; }));
    const sees = async (look, fullPage) => {
      await page.screenshot({ path: `${shots}/${name}-${look}.png`, fullPage });
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect.soft(over, `${name} is wider than the window: ${look}`).toBeLessThanOrEqual(0);
    };
    // Pages have no frames, so that no further page is needed to gather what is found; what is well is not listed.
    const axe = () => new AxeBuilder({ page }).setLegacyMode().options({ resultTypes: ["violations"] });
    const judged = async (axe) => {
      const { violations } = await axe.analyze();
      expect.soft(violations.map(({ id, nodes }) => `${name} ${id}: ${nodes[0].html}`)).toEqual([]);
    };
    await sees("light-desktop", true);
    await judged(axe().withTags(RULES));
    // In the dark only colours are others.
    await page.emulateMedia({ colorScheme: "dark" });
    await sees("dark-desktop", false);
    await judged(axe().withRules(["color-contrast"]));
    await page.setViewportSize(PHONE);
    await sees("dark-phone", true);
    await page.emulateMedia({ colorScheme: "light" });
    await sees("light-phone", true);
    // And on a phone only sizes.
    await judged(axe().withRules(["target-size", "scrollable-region-focusable"]));
    expect(policed).toEqual([]);
  });
}
