// Chromium is the system's; what it is tried against, tests/it/browser.rs says in the environment.
import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: ".",
  outputDir: `${process.env.SCREENSHOTS}/failures`,
  workers: 1,
  timeout: 120_000,
  reporter: [["line"]],
  use: {
    baseURL: process.env.DASHBOARD,
    launchOptions: { executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-dev-shm-usage"] },
    timezoneId: "Asia/Makassar",
    screenshot: "only-on-failure",
  },
});
