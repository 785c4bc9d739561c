// The login at a real OpenID provider, as a person does it. Only where THINGS names the provider's person.
import { expect, test } from "@playwright/test";

test("a person signs in at the provider and comes back to the page that was wanted", async ({ page }) => {
  await page.goto("/listings");
  await page.locator('input[name="login"]').fill("ops");
  await page.locator('input[name="password"]').fill("anything");
  await page.locator('button[type="submit"]').click();
  await page.locator('button[type="submit"]').click();
  await expect(page).toHaveURL(/\/listings$/);
  await expect(page.getByRole("heading", { name: "Listings" })).toBeVisible();
  await expect(page.locator(".subject")).toHaveText("ops");
  // A ChannelPublisher may not change targets: that is not offered.
  const cookies = await page.context().cookies();
  const session = cookies.find((cookie) => cookie.name === "__Host-distribution");
  expect(session).toMatchObject({ secure: true, httpOnly: true, sameSite: "Lax" });
});
