// What people do with the dashboard, in a real Chromium against a real service with a sandbox behind it.
import { expect } from "@playwright/test";
import { publish, signIn, test, things } from "./service.js";

test("a person signs in with a link, which works once", async ({ page }) => {
  await signIn(page, "owner");
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByRole("heading", { name: "You are signed out" })).toBeVisible();
  await page.goto("/targets");
  await expect(page).toHaveURL(/\/sign-in\?return_to=%2Ftargets/);
});

test("a sync arrives without a reload, keeps what has the focus and moves nothing else", async ({ as }) => {
  const page = await as("owner");
  await page.goto("/");
  await expect(page.locator("#live")).toHaveText("live");
  const row = page.locator("#recent tbody tr").first();
  await row.getByRole("link").first().focus();
  const places = () => page.evaluate(() => [...document.querySelectorAll("section h2")].map((heading) => heading.getBoundingClientRect().top + scrollY));
  const [before, places_before] = [await page.locator("#recent tbody tr").count(), await places()];
  await publish(things.unit, 2, "A new terrace.");
  // From the publishing to the page, through intake, relay, projector, dispatcher and channel.
  await expect(page.locator("#recent tbody tr")).toHaveCount(before + 1, { timeout: 15_000 });
  await expect(page.locator("#recent tbody tr").first()).toContainText("accepted");
  await expect(page.locator("#recent a:focus")).toHaveCount(1);
  expect(await places()).toEqual(places_before);
});

test("a sync shows what it sent, field by field and as the body of its call", async ({ as }) => {
  const page = await as("owner");
  await page.goto(`/listings/${things.listing}`);
  await page.locator("#timeline").getByRole("link", { name: /^sync / }).first().click();
  await expect(page.locator("#difference")).toContainText("A new terrace.");
  const call = page.locator("#calls li").filter({ hasText: "PUT" }).first();
  await expect(call).toContainText("200");
  await call.getByText("Request and answer").click();
  await expect(call.locator("pre").last()).toContainText('"description": "A new terrace.');
  await expect(call).toContainText("made again from the snapshot");
  await expect(call).not.toContainText("secret-");
});

test("a person replays a state of the past after a look at what it changes", async ({ as }) => {
  const page = await as("channel-publisher");
  await page.goto(`/listings/${things.listing}/at/2`);
  await page.getByText("What sending it again would change").click();
  await expect(page.locator("main")).toContainText("A new terrace.");
  await expect(page.locator("main").getByText("A new terrace.")).toHaveCount(1);
  await page.getByText("Send this state again…").click();
  await page.getByLabel("Why?").fill("the terrace is not ready");
  await page.getByRole("button", { name: "Send this state" }).click();
  await expect(page).toHaveURL(`/listings/${things.listing}`);
  await expect(page.locator("#timeline li").first()).toContainText("accepted", { timeout: 15_000 });
  await expect(page.locator("#timeline")).toContainText("the terrace is not ready");
});

test("what would be sent is shown before it is, and a sync is sent again from its own page", async ({ as }) => {
  const page = await as("channel-publisher");
  await page.goto(`/listings/${things.listing}`);
  await page.getByText("Send all of it again…").click();
  await expect(page.locator(".preview")).toContainText("A new terrace.");
  // The one that brought the terrace, from before the replay.
  await page.goto(`/audit?listing_id=${things.listing}&cause=unit_changed`);
  await page.locator(".syncs tbody a").first().click();
  await page.getByText("Send this again…").click();
  await expect(page.locator(".preview")).toContainText("would be sent");
  await expect(page.locator(".preview ins").filter({ hasText: "A new terrace." })).toHaveCount(1);
  await page.screenshot({ path: `${process.env.SCREENSHOTS}/sync-again-light-desktop.png` });
  await page.getByLabel("Why?").fill("the terrace is ready");
  await page.getByRole("button", { name: "Send this state" }).click();
  await expect(page).toHaveURL(`/listings/${things.listing}`);
  await expect(page.locator("#timeline li").first()).toContainText("accepted", { timeout: 15_000 });
  await expect(page.locator("#timeline")).toContainText("the terrace is ready");
});

test("a Viewer is offered nothing that a Viewer may not do, and is refused it", async ({ as }) => {
  const page = await as("viewer");
  await page.goto(`/targets/${things.target}`);
  await expect(page.getByRole("heading", { name: "Settings" })).toBeVisible();
  await expect(page.getByText("Pause…")).toHaveCount(0);
  await page.goto(`/listings/${things.listing}`);
  await expect(page.getByText("Send all of it again…")).toHaveCount(0);
  await page.goto(`/syncs/${things.sync}`);
  await expect(page.getByText("Send this again…")).toHaveCount(0);
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

test("an Owner pauses a target and lets it go on, by keyboard alone", async ({ as }) => {
  const page = await as("owner");
  await page.goto("/");
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

test("search finds a listing by the id that the channel gave it, a sync by its end and by its trace", async ({ as }) => {
  const page = await as("viewer");
  await page.goto("/");
  await page.keyboard.press("/");
  await expect(page.locator("#search")).toBeFocused();
  await page.keyboard.type(things.external);
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(`/listings/${things.listing}`);
  for (const [wanted, sync] of [[things.sync.slice(-12), things.sync], [things.trace, things.traced]]) {
    await page.locator("#search").fill(wanted);
    await page.keyboard.press("Enter");
    await expect(page).toHaveURL(`/syncs/${sync}`);
  }
});

test("a trace leads to where it can be looked at", async ({ as }) => {
  const page = await as("viewer");
  await page.goto(`/syncs/${things.traced}`);
  await expect(page.locator("#facts").getByRole("link", { name: things.trace })).toHaveAttribute("href", things.traces);
});

test("times are the viewer's own, with UTC on hover, in sentences too", async ({ as }) => {
  const page = await as("viewer");
  await page.goto(`/syncs/${things.sync}`);
  for (const part of ["#facts", "#words"]) {
    const time = page.locator(`${part} time`).first();
    const [text, title, at] = await time.evaluate((time) => [time.textContent, time.title, time.dateTime]);
    const hour = (new Date(at).getUTCHours() + 8) % 24;
    expect(text).toContain(` ${String(hour).padStart(2, "0")}:`);
    expect(title).toContain("UTC");
  }
  expect(await page.locator("#words").textContent()).not.toMatch(/\dT\d\d:\d\d/);
});

test("what one decides about a dead letter, another sees", async ({ as }) => {
  const [page, other] = [await as("owner"), await as("owner")];
  for (const each of [page, other]) {
    await each.goto("/dead-letters");
    await expect(each.locator("#live")).toHaveText("live");
  }
  await expect(other.locator("#letters")).toContainText("Letter 1 ");
  await page.locator("#letter-1").getByRole("button", { name: "Send again" }).click();
  // It is as wrong as before, so it comes back, with another number.
  await expect(other.locator("#decisions")).toContainText("letter 1 was sent again", { timeout: 10_000 });
  await expect(other.locator("#letters")).toContainText("Letter 3 ", { timeout: 10_000 });
  // A form that came live is as good as one of the page.
  const letter = other.locator("#letter-3");
  await letter.getByText("Throw away…").click();
  await letter.getByRole("button", { name: "Throw away" }).click();
  await expect(page.locator("#decisions")).toContainText("letter 3 was thrown away", { timeout: 10_000 });
  await expect(page.locator("#letters > *")).toHaveCount(1);
  await expect(page.locator("#letter-3")).toHaveCount(0);
});
