// What people see while Postgres is away. Nobody can sign in then, so THINGS has a token of somebody who may read.
import { expect, test } from "@playwright/test";
import { judge } from "./judge.js";

const { token } = JSON.parse(process.env.THINGS ?? "{}");
test.use({ extraHTTPHeaders: { authorization: `Bearer ${token}` } });

test("a page without Postgres is accessible, fits and says what is wrong", async ({ page }) => {
  expect(await judge(page, "postgres-away", "/")).toBe(503);
  await expect(page.locator(".problem")).toContainText("the database cannot be reached; try again");
});
