// How a page looks and whether everybody can use it: on a desktop and on a phone, by light and in the dark.
import { AxeBuilder } from "@axe-core/playwright";
import { expect } from "@playwright/test";

const shots = process.env.SCREENSHOTS;
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };

/** Judges what stands at `path`, and leaves pictures of it under `name`. Gives its status. */
export async function judge(page, name, path) {
  const policed = [];
  page.on("console", (message) => { if (/Content Security Policy/.test(message.text())) policed.push(message.text()); });
  await page.setViewportSize(DESKTOP);
  await page.emulateMedia({ colorScheme: "light" });
  const response = await page.goto(path);
  // What is folded is a part of the page.
  await page.locator("details:not(.action)").evaluateAll((all) => all.forEach((details) => { details.open = true; }));
  const fits = async (look) => {
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect.soft(over, `${name} is wider than the window: ${look}`).toBeLessThanOrEqual(0);
  };
  // A picture costs half a second: one for each light, and one for each size.
  const sees = async (look) => {
    await page.screenshot({ path: `${shots}/${name}-${look}.png`, fullPage: true });
    await fits(look);
  };
  // Pages have no frames, so that no further page is needed to gather what is found; what is well is not listed. The first one brings
  // its script, twice, of half a megabyte; for the others that is there.
  let axeSource;
  const axe = () => {
    const builder = new AxeBuilder({ page, axeSource }).setLegacyMode().options({ resultTypes: ["violations"] });
    axeSource = "undefined";
    return builder;
  };
  const judged = async (axe) => {
    const { violations } = await axe.analyze();
    expect.soft(violations.map(({ id, nodes }) => `${name} ${id}: ${nodes[0].html}`)).toEqual([]);
  };
  await sees("light-desktop");
  await judged(axe().withTags(RULES));
  // In the dark only colours are others.
  await page.emulateMedia({ colorScheme: "dark" });
  await fits("dark-desktop");
  await judged(axe().withRules(["color-contrast"]));
  await page.setViewportSize(PHONE);
  await sees("dark-phone");
  await page.emulateMedia({ colorScheme: "light" });
  await fits("light-phone");
  // And on a phone only sizes.
  await judged(axe().withRules(["target-size", "scrollable-region-focusable"]));
  expect(policed).toEqual([]);
  return response.status();
}
