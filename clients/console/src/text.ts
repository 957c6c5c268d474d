/** Every English text of the console, by page. */
export const text = {
  product: "comfyfleet",
  common: {
    close: "Close",
    back: "Back",
    cancel: "Cancel",
    save: "Save",
    delete: "Delete",
    copy: "Copy",
    copied: "Copied.",
    tryAgain: "Try again",
    loading: "Loading",
    more: "Show more",
    all: "All",
    none: "None",
    unlimited: "unlimited",
    search: "Search",
    skip: "Skip to content",
  },
  status: { pending: "Waiting", processing: "Running", completed: "Completed", failed: "Failed", cancelled: "Cancelled" },
  errors: {
    offline: "The server cannot be reached. Check your connection; the page tries again by itself.",
    requestId: "request",
    reconnecting: "Connection lost. Reconnecting…",
    crashed: "This page stopped working. Reload it; nothing on the server is lost.",
    reload: "Reload",
    notFound: "There is no such page.",
    adminOnly: "This page is for administrators of the fleet.",
  },
  nav: {
    label: "Main",
    make: "Make",
    you: "You",
    operate: "Operate",
    playground: "Playground",
    gallery: "Gallery",
    jobs: "Jobs",
    workflows: "Workflows",
    uploads: "Uploads",
    account: "Account",
    fleet: "Fleet",
    queue: "Queue",
    trends: "Trends",
    users: "Users",
    tiers: "Tiers",
    policy: "Graph policy",
    deadLetters: "Dead letters",
    audit: "Audit log",
    open: "Open menu",
    help: "Keyboard shortcuts",
    signOut: "Sign out",
    light: "Use the light theme",
    dark: "Use the dark theme",
    docs: "API documentation",
  },
  shortcuts: {
    title: "Keyboard shortcuts",
    help: "Show these shortcuts",
    search: "Search or filter on this page",
    submit: "Run the form",
    go: "Go to",
    then: "then",
  },
  media: {
    broken: "This picture cannot be shown.",
    download: "Download",
  },
  signIn: {
    title: "Sign in",
    intro: "Make pictures, watch your jobs, and operate the fleet.",
    username: "User name",
    password: "Password",
    submit: "Sign in",
    busy: "Signing in…",
    forgotten: "Forgot your password? Ask your operator for a sign-in link.",
  },
  chart: { table: "Show as table", chart: "Show as chart", time: "Time" },
  playground: {
    title: "Playground",
  },
  gallery: {
    title: "Gallery",
  },
  jobs: {
    title: "Jobs",
  },
  workflows: {
    title: "Workflows",
  },
  uploads: {
    title: "Uploads",
  },
  account: {
    title: "Account",
  },
  shared: {
    title: "Shared job",
  },
  fleet: {
    title: "Fleet",
  },
  queue: {
    title: "Queue",
  },
  trends: {
    title: "Trends",
  },
  users: {
    title: "Users",
  },
  tiers: {
    title: "Tiers",
  },
  policy: {
    title: "Graph policy",
  },
  deadLetters: {
    title: "Dead letters",
  },
  audit: {
    title: "Audit log",
  },
} as const;
