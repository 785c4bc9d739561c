// The login at a real OpenID provider, and the sign-out, as a person does them. Only where THINGS names the provider's person.
import { expect, test } from "@playwright/test";

test("a person signs in at the provider, comes back to the page that was wanted, and signs out at both", async ({ page }) => {
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

  // Without our session alone the provider lets whoever is at this browser in again, without a word.
  await page.context().clearCookies({ name: "__Host-distribution" });
  await page.goto("/listings");
  await expect(page.locator(".subject")).toHaveText("ops");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Yes, sign me out" }).click();
  await expect(page).toHaveURL(/\/signed-out$/);
  await expect(page.getByRole("heading", { name: "You are signed out" })).toBeVisible();
  await page.getByRole("link", { name: "Sign in again" }).click();
  await expect(page.locator('input[name="login"]')).toBeVisible();
  await page.goto("/listings");
  await expect(page.locator('input[name="password"]')).toBeVisible();
});
