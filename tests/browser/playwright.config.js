// Chromium is the system's; what it is tried against, tests/it/browser.rs says in the environment.
import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: ".",
  outputDir: `${process.env.SCREENSHOTS}/failures`,
  // What people do is one file and so one after the other; how pages look disturbs nobody.
  workers: 2,
  timeout: 60_000,
  reporter: [["list"]],
  use: {
    baseURL: process.env.DASHBOARD,
    launchOptions: { executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"] },
    timezoneId: "Asia/Makassar",
    viewport: { width: 1280, height: 900 },
    screenshot: "only-on-failure",
  },
});
