// What people do with the dashboard, in a real Chromium against a real service with a sandbox behind it.
import { expect } from "@playwright/test";
import { publish, signIn, test, things } from "./service.js";

/** Waits until the newest sync of a listing, asked for in these words, has been accepted, and shows what came meanwhile. */
async function shown(page, words) {
  const newest = page.locator("#timeline li").first();
  await expect(async () => {
    const show = page.getByRole("button", { name: /^Show \d+ new events?$/ });
    if (await show.count()) await show.click();
    await expect(newest).toContainText("accepted", { timeout: 500 });
    await expect(page.locator("#timeline")).toContainText(words, { timeout: 500 });
  }).toPass({ timeout: 15_000 });
}

/** Waits until a decision is among those that are shown, and asks for those that came meanwhile. */
async function decided(page, words) {
  await expect(async () => {
    const show = page.getByRole("button", { name: /^Show \d+ new decisions?$/ });
    if (await show.count()) await show.click();
    await expect(page.locator("#decisions")).toContainText(words, { timeout: 500 });
  }).toPass({ timeout: 15_000 });
}

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
  // Headings, and every row of the latest syncs, those that are empty too.
  const places = () => page.evaluate(() => [...document.querySelectorAll("section h2, #recent tr")].map((one) => one.getBoundingClientRect().top + scrollY));
  await page.evaluate(() => {
    window.moved = [];
    // Without a node it is the mark of a state, whose shape is another with each.
    const tell = ({ node, previousRect, currentRect }) => {
      if (node && previousRect.height && currentRect.height && previousRect.top !== currentRect.top) window.moved.push(`${node.nodeName} ${node.textContent}: ${previousRect.top} to ${currentRect.top}`);
    };
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => entry.sources.forEach(tell))).observe({ type: "layout-shift" });
  });
  const syncs = page.locator("#recent tr[data-sync]");
  const focused = await syncs.first().getAttribute("data-sync");
  const [before, places_before] = [await syncs.count(), await places()];
  expect(before).toBeLessThan(12);
  await publish(things.unit, 2, "A new terrace.");
  // From the publishing to the page, through intake, relay, projector, dispatcher and channel.
  await expect(syncs).toHaveCount(before + 1, { timeout: 15_000 });
  await expect(syncs.first()).toContainText("accepted");
  expect(await places()).toEqual(places_before);
  expect(await page.evaluate(() => window.moved)).toEqual([]);
  // What has the focus has gone with its sync.
  await expect(page.locator(`#recent tr[data-sync="${focused}"] a:focus`)).toHaveCount(1);
  await expect(syncs.nth(1)).toHaveAttribute("data-sync", focused);
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
  await page.getByText("Send this state again…").click();
  await expect(page.locator(".preview")).toContainText("A new terrace.");
  await expect(page.locator("main").getByText("A new terrace.")).toHaveCount(1);
  await page.getByLabel("Why?").fill("the terrace is not ready");
  await page.getByRole("button", { name: "Send this state" }).click();
  await expect(page).toHaveURL(`/listings/${things.listing}`);
  await shown(page, "the terrace is not ready");
});

test("what would be sent is shown before it is, and a sync is sent again from its own page", async ({ as }) => {
  const page = await as("channel-publisher");
  await page.goto(`/listings/${things.listing}`);
  await page.getByText("Send all of it again…").click();
  await expect(page.locator(".preview")).toContainText("A new terrace.");
  // What leads to it from another page opens it.
  await page.goto("/listings");
  await page.goto(`/listings/${things.listing}#do-sync`);
  await expect(page.locator("#do-sync .preview")).toContainText("A new terrace.");
  // The one that brought the terrace, from before the replay.
  await page.goto(`/audit?listing_id=${things.listing}&cause=unit_changed`);
  await page.locator('.syncs tr[data-sync] a[href^="/syncs/"]').first().click();
  await page.getByText("Send this again…").click();
  await expect(page.locator(".preview")).toContainText("would be sent");
  await expect(page.locator(".preview ins").filter({ hasText: "A new terrace" })).toHaveCount(1);
  await page.screenshot({ path: `${process.env.SCREENSHOTS}/sync-again-light-desktop.png` });
  await page.getByLabel("Why?").fill("the terrace is ready");
  await page.getByRole("button", { name: "Send this state" }).click();
  await expect(page).toHaveURL(`/listings/${things.listing}`);
  await shown(page, "the terrace is ready");
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

test("Escape closes the form that is open and gives its button the focus back", async ({ as }) => {
  const page = await as("owner");
  for (const [path, name, field] of [
    [`/targets/${things.target}`, "Pause…", 'input[name="reason"]'],
    [`/targets/${things.target}`, "Rotate secret…", 'input[name="secret"]'],
    [`/listings/${things.listing}`, "Send all of it again…", 'input[name="reason"]'],
  ]) {
    await page.goto(path);
    const button = page.locator("summary", { hasText: name });
    const form = page.locator("details.action").filter({ has: button });
    await button.focus();
    await page.keyboard.press("Enter");
    await form.locator(field).focus();
    await page.keyboard.type("half of a");
    await page.keyboard.press("Escape");
    await expect(form).not.toHaveAttribute("open", "");
    await expect(button).toBeFocused();
    // Also where the focus is nowhere.
    await page.keyboard.press("Enter");
    await expect(form).toHaveAttribute("open", "");
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press("Escape");
    await expect(form).not.toHaveAttribute("open", "");
    await expect(button).toBeFocused();
  }
  // Elsewhere it leaves what one is in.
  await page.keyboard.press("/");
  await expect(page.locator("#search")).toBeFocused();
  await page.keyboard.press("Escape");
  await expect(page.locator("#search")).not.toBeFocused();
});

test("buttons follow what another does, and a form that is open stays", async ({ as }) => {
  const [page, other] = [await as("owner"), await as("owner")];
  for (const each of [page, other]) {
    await each.goto(`/targets/${things.target}`);
    await expect(each.locator("#live")).toHaveText("live");
  }
  await other.locator("summary", { hasText: "Rotate secret…" }).click();
  const secret = other.locator('input[name="secret"]');
  await secret.fill("half of a");
  await page.locator("summary", { hasText: "Pause…" }).click();
  await page.locator('input[name="reason"]').fill("the roof is mended");
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  await expect(other.getByRole("button", { name: "Resume" })).toBeVisible({ timeout: 10_000 });
  await expect(other.locator("summary", { hasText: "Pause…" })).toHaveCount(0);
  // Forms that came live can be sent as they stand, also by what tells the page nothing of it.
  const tokens = await other.locator('#actions input[name="csrf_token"]').evaluateAll((all) => all.map((field) => field.getAttribute("value")));
  expect(tokens.length).toBeGreaterThan(2);
  for (const token of tokens) expect(token).toBe(await other.locator('.who input[name="csrf_token"]').getAttribute("value"));
  await expect(secret).toHaveValue("half of a");
  await expect(secret).toBeFocused();
  // A button that came live is as good as one of the page; an open form waits until it is closed.
  await page.locator("summary", { hasText: "Rotate secret…" }).click();
  await other.getByRole("button", { name: "Resume" }).click();
  await expect(page.locator("summary", { hasText: "Pause…" })).toBeVisible({ timeout: 10_000 });
  await expect(page.getByRole("button", { name: "Resume" })).toHaveCount(0);
  await page.locator("summary", { hasText: "Pause…" }).click();
  await other.locator("summary", { hasText: "Pause…" }).click();
  await other.locator('input[name="reason"]').fill("once more");
  await other.getByRole("button", { name: "Pause", exact: true }).click();
  await expect(page.getByRole("button", { name: "Resume" })).toBeVisible({ timeout: 10_000 });
  await page.locator("summary", { hasText: "Pause…" }).click();
  await expect(page.locator("summary", { hasText: "Pause…" })).toHaveCount(0);
  await page.getByRole("button", { name: "Resume" }).click();
  await expect(page.locator("#now")).toContainText("active", { timeout: 10_000 });
});

test("a page that the service cannot keep up to date says since when, and is live again by itself", async ({ as }) => {
  const page = await as("viewer");
  await page.addInitScript(() => {
    window.EventSource = class extends EventTarget {
      constructor() { super(); window.stream = this; }
      close() {}
    };
  });
  await page.goto("/");
  const tell = (type, data) => page.evaluate(([type, data]) => window.stream.dispatchEvent(new MessageEvent(type, { data })), [type, data]);
  const light = page.locator("#live");
  await tell("open");
  await expect(light).toHaveText("live");
  await tell("stale", "2030-01-02T03:04:05.678Z");
  await expect(light).toHaveText("not live since 11:04:05");
  await expect(light).toHaveAttribute("data-state", "off");
  await tell("current", "live");
  await expect(light).toHaveText("live");
});

test("whoever signs out in one tab is told so in another at once, and led to the sign-in, by a form as well", async ({ browser }) => {
  const context = await browser.newContext();
  const [page, other] = [await context.newPage(), await context.newPage()];
  await signIn(page, "owner");
  await page.goto(`/targets/${things.target}`);
  const light = page.locator("#live");
  await expect(light).toHaveText("live");
  await other.goto("/");
  await other.getByRole("button", { name: "Sign out" }).click();
  await expect(light).toHaveText("signed out: sign in again", { timeout: 3_000 });
  await expect(light.getByRole("link")).toHaveAttribute("href", `/sign-in?return_to=${encodeURIComponent(`/targets/${things.target}`)}`);
  await page.locator("summary", { hasText: "Pause…" }).click();
  await page.locator('input[name="reason"]').fill("too late");
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  await expect(page.locator(".problem")).toContainText("Your session has ended");
  await expect(page.locator(".problem").getByRole("link", { name: "Sign in" })).toBeVisible();
  await context.close();
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

test("a page that is not live says of when it is, and is loaded again with its filters", async ({ as }) => {
  const page = await as("viewer");
  await page.goto("/audit?outcome=failed");
  const mark = page.locator(".who .live");
  await expect(mark).toHaveText(/^as of \d\d:\d\d:\d\d · reload$/);
  const told = await mark.locator("time").getAttribute("datetime");
  await page.waitForTimeout(10);
  await mark.getByRole("link", { name: "reload" }).click();
  await expect(mark.locator("time")).not.toHaveAttribute("datetime", told);
  await expect(page).toHaveURL("/audit?outcome=failed");
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
  await decided(other, "letter 1 was sent again");
  await expect(other.locator("#letters")).toContainText("Letter 3 ", { timeout: 10_000 });
  // However many letters come, what was decided stands beside them, and a new decision moves none that one reads.
  const [letters, decisions] = [await other.locator("#letters").boundingBox(), await other.locator("#decisions").boundingBox()];
  expect([decisions.y, decisions.x >= letters.x + letters.width]).toEqual([letters.y, true]);
  const first = page.locator("#decisions li").filter({ hasText: "letter 1 was sent again" });
  const before = await first.boundingBox();
  // A form that came live is as good as one of the page.
  const letter = other.locator("#letter-3");
  await letter.getByText("Throw away…").click();
  await letter.getByRole("button", { name: "Throw away" }).click();
  await expect(page.getByRole("button", { name: "Show 1 new decision" })).toBeVisible({ timeout: 10_000 });
  expect((await first.boundingBox()).y).toBe(before.y);
  await decided(page, "letter 3 was thrown away");
  await expect(page.locator("#letters > *")).toHaveCount(1);
  await expect(page.locator("#letter-3")).toHaveCount(0);
});

test("a target that needs credentials says so, and shows every attempt and check that failed", async ({ as }) => {
  const page = await as("owner");
  await page.goto("/targets");
  const row = page.getByRole("row").filter({ has: page.locator(`a[href="/targets/${things.refused}"]`) });
  await expect(row.locator(".state.bad").filter({ hasText: "needs credentials" })).toBeVisible();
  await expect(row.locator(".state.good")).toHaveCount(0);
  await page.goto(`/targets/${things.refused}`);
  await expect(page.locator("#now")).toContainText("rotates its secret");
  await expect(page.locator("#now .state.good")).toHaveCount(0);
  await expect(page.locator("#health div").filter({ hasText: /^Last failure/ })).toContainText("(check)");
  // A sync that waits has ended in no way yet, and its attempt counts.
  const attempts = page.locator("#errors table").first();
  await expect(attempts.locator("thead")).toContainText("Failed as");
  await expect(attempts.locator("tbody tr").first()).toContainText("unauthorised");
  await expect(attempts.locator("tbody td.number").first()).toHaveText("1");
  await expect(page.locator("#errors table").last()).toContainText("pending");
  await expect(page.locator("#queue tbody tr").first()).toContainText("when it is let go");
});

test("a call that failed shows the beginning of its answer, without whose it was", async ({ as }) => {
  const page = await as("viewer");
  await page.goto(`/syncs/${things.failed}`);
  const call = page.locator("#calls li").filter({ hasText: "422" }).first();
  await call.getByText("Request and answer").click();
  await expect(call.locator(".exchange")).toContainText('"guestName":"•••"');
  await expect(page.locator("main")).not.toContainText("Jane");
  await page.goto(`/syncs/${things.sync}`);
  const taken = page.locator("#calls li").filter({ hasText: "200" }).first();
  await taken.getByText("Request and answer").click();
  await expect(taken.locator(".exchange")).toContainText("Its body is not kept");
});

test("both axes of every plot have a unit and ticks to read", async ({ as }) => {
  const page = await as("viewer");
  await page.addInitScript(() => {
    window.drawn = [];
    let real;
    Object.defineProperty(window, "uPlot", {
      configurable: true,
      get: () => real,
      set(its) {
        real = function (...given) {
          const made = new its(...given);
          window.drawn.push(made);
          return made;
        };
        Object.assign(real, its);
      },
    });
  });
  await page.goto("/");
  await expect.poll(() => page.evaluate(() => window.drawn.length)).toBe(9);
  await expect.poll(() => page.evaluate(() => window.drawn.every((plot) => plot.axes.every((axis) => axis._values?.length)))).toBe(true);
  const axes = await page.evaluate(() => window.drawn.map(({ axes: [x, y] }) => [x.label, y.label, x._values, y._values]));
  for (const [x, y, times, values] of axes) {
    expect(x).toBe("time, Asia/Makassar");
    expect(y).toMatch(/^(targets|syncs|syncs \/ min|calls \/ min|failures \/ min|%|seconds)$/);
    for (const time of times.filter((time) => time)) expect(time).toMatch(/^\d\d:\d\d$/);
    expect(values.length).toBeGreaterThan(1);
    expect(new Set(values).size).toBe(values.length);
    if (!["%", "seconds"].includes(y)) for (const value of values) expect(value).toMatch(/^[\d\u202f]+$/);
  }
});

test("without scripts a page says what is missing, and leaves nothing that waits for them", async ({ browser }) => {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await signIn(page, "viewer");
  await page.goto("/");
  // Playwright looks for no text inside of noscript, be it shown or not.
  const seen = await page.evaluate(() => document.body.innerText);
  expect(seen).toContain("Times are UTC, and this page stays as it was when it was loaded");
  expect(seen).toContain("Plots need scripts.");
  for (const part of ["#live", ".plot"]) await expect(page.locator(part).first()).toBeHidden();
  await context.close();
});

test("whoever looks sees which role that is, and every place however wide the window is", async ({ as }) => {
  const page = await as("owner");
  await page.goto("/");
  await expect(page.locator(".role")).toHaveText("Owner");
  for (const width of [390, 901, 1001, 1121, 1241, 1280]) {
    await page.setViewportSize({ width, height: 844 });
    await expect(page.locator('nav a[href="/api/docs"]'), `${width} px`).toBeInViewport({ ratio: 1 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth), `${width} px`).toBeLessThanOrEqual(width);
  }
});

test("on a phone no legend touches the heading below it", async ({ as }) => {
  const page = await as("viewer");
  await page.setViewportSize({ width: 390, height: 844 });
  await page.goto("/");
  await expect(page.locator(".plot .u-legend")).toHaveCount(9);
  const gaps = await page.evaluate(() => {
    const plots = [...document.querySelectorAll(".plot")];
    const top = (plot) => plot.querySelector("h3").getBoundingClientRect().top;
    return plots.slice(1).map((plot, index) => top(plot) - plots[index].querySelector(".u-legend").getBoundingClientRect().bottom);
  });
  for (const gap of gaps) expect(gap).toBeGreaterThanOrEqual(8);
});

test("what comes, or comes with more words, moves neither the targets and columns of the overview nor what is below a target's windows", async ({ as }) => {
  const page = await as("viewer");
  await page.goto("/");
  const columns = () => page.locator("#attention thead th").evaluateAll((heads) => heads.map((head) => head.getBoundingClientRect().left));
  const before = await columns();
  expect(before.length).toBe(4);
  // As if a target with a long name and a long reason had come.
  await page.locator("#attention tbody tr").first().evaluate((row) => {
    row.querySelector(".named a").textContent = "the house above the river ".repeat(6);
    row.querySelector("td.wide").textContent = "a long reason that somebody wrote ".repeat(12);
  });
  expect(await columns()).toEqual(before);
  // And as if syncs began to fail, and a letter came.
  const table = () => page.locator("#attention .scroll").evaluate((targets) => targets.getBoundingClientRect().top + scrollY);
  const tops = [];
  for (const needs of [[], ["1 listing: the last sync failed."], ["1 dead letter waits.", "1 listing: the last sync failed."]]) {
    await page.locator("#attention .needs").evaluate((place, told) => {
      place.innerHTML = told.length ? `<ul class="plain">${told.map((need) => `<li>${need}</li>`).join("")}</ul>` : "";
    }, needs);
    tops.push(await table());
  }
  expect(new Set(tops).size, `${tops}`).toBe(1);

  await page.goto(`/targets/${things.target}`);
  const queue = () => page.locator("#queue").evaluate((part) => part.getBoundingClientRect().top + scrollY);
  const place = await queue();
  // Every live part that has come anew keeps the height that it had, to the fraction of a pixel.
  await expect(page.locator("#window")).toHaveAttribute("style", /min-height/, { timeout: 15_000 });
  expect(await queue()).toBe(place);
  const hint = page.locator("#window .window p:last-child").first();
  await hint.evaluate((words) => { words.innerHTML = "The next slot comes back<br>at some time"; });
  expect(await queue()).toBe(place);
});

test("on a phone the reason stands below its row", async ({ as }) => {
  const page = await as("viewer");
  await page.setViewportSize({ width: 390, height: 844 });
  await page.goto("/");
  const why = page.locator("#attention").getByText(things.sold).filter({ visible: true });
  await expect(why).toHaveCount(1);
  const [above, below] = [await page.locator("#attention tr[id^=target-]").filter({ hasText: "paused" }).first().boundingBox(), await why.boundingBox()];
  expect(below.y).toBeGreaterThanOrEqual(above.y + above.height - 1);
  await page.setViewportSize({ width: 1280, height: 900 });
  await expect(why).toHaveCount(1);
});

test("events that come while somebody reads move nothing, and are shown when they are asked for", async ({ as }) => {
  const page = await as("owner");
  await page.goto(`/listings/${things.listing}`);
  await expect(page.locator("#live")).toHaveText("live");
  const call = page.locator("#timeline details").first();
  await call.locator("summary").click();
  // What follows a click within half a second counts as its doing.
  await page.waitForTimeout(700);
  await page.evaluate(() => {
    window.shifts = [];
    new PerformanceObserver((list) => window.shifts.push(...list.getEntries().map((entry) => entry.value))).observe({ type: "layout-shift" });
  });
  const place = () => call.evaluate((details) => details.getBoundingClientRect().top);
  const before = await place();
  await publish(things.unit, 3, "The terrace has a roof.");
  const show = page.getByRole("button", { name: /^Show \d+ new events?$/ });
  await expect(show).toBeVisible({ timeout: 15_000 });
  // Asked for, tried, accepted.
  await expect(show).toHaveText("Show 2 new events", { timeout: 15_000 });
  await expect(page.locator("#next")).toContainText("Nothing");
  expect(await place()).toBe(before);
  await expect(call).toHaveAttribute("open", "");
  // Words that change in their own place count for a thousandth; a row that moved would be a hundredth and more.
  expect(await page.evaluate(() => window.shifts.reduce((all, one) => all + one, 0))).toBeLessThan(0.008);
  await page.screenshot({ path: `${process.env.SCREENSHOTS}/listing-news-light-desktop.png` });
  await show.click();
  await expect(page.locator("#timeline li").first()).toContainText("accepted");
  await expect(page.locator("#timeline li").first()).toBeFocused();
  await expect(show).toHaveCount(0);
});
