/** The console's pages. The gateway serves the page for the same paths (services/gateway/src/gateway/console/routes.py). */
import type { ComponentType } from "preact";
import { lazy } from "preact-iso";

import { text } from "./text";
import type { IconName } from "./ui/icons";

export type PageRoute = {
  path: string;
  page: ComponentType;
  /** Only administrators see it. The server refuses everybody else anyway. */
  isForAdmins?: boolean;
};

type NavItem = { path: string; label: string; icon: IconName; shortcut: string };
type NavGroup = { label: string; items: readonly NavItem[]; isForAdmins?: boolean };

const Playground = lazy(() => import("./pages/playground/PlaygroundPage"));
const Gallery = lazy(() => import("./pages/gallery/GalleryPage"));
const Jobs = lazy(() => import("./pages/jobs/JobsPage"));
const Job = lazy(() => import("./pages/jobs/JobPage"));
const Workflows = lazy(() => import("./pages/workflows/WorkflowsPage"));
const Workflow = lazy(() => import("./pages/workflows/WorkflowPage"));
const Uploads = lazy(() => import("./pages/uploads/UploadsPage"));
const Account = lazy(() => import("./pages/account/AccountPage"));
const Shared = lazy(() => import("./pages/shared/SharedJobPage"));
const Fleet = lazy(() => import("./pages/fleet/FleetPage"));
const FleetNode = lazy(() => import("./pages/fleet/NodePage"));
const Queue = lazy(() => import("./pages/queue/QueuePage"));
const Trends = lazy(() => import("./pages/trends/TrendsPage"));
const Users = lazy(() => import("./pages/users/UsersPage"));
const User = lazy(() => import("./pages/users/UserPage"));
const Tiers = lazy(() => import("./pages/tiers/TiersPage"));
const Policy = lazy(() => import("./pages/policy/PolicyPage"));
const DeadLetters = lazy(() => import("./pages/dead-letters/DeadLettersPage"));
const Audit = lazy(() => import("./pages/audit/AuditPage"));

export const ROUTES: readonly PageRoute[] = [
  { path: "/", page: Playground },
  { path: "/sign-in", page: Playground },
  { path: "/gallery", page: Gallery },
  { path: "/jobs", page: Jobs },
  { path: "/jobs/:job_id", page: Job },
  { path: "/workflows", page: Workflows },
  { path: "/workflows/:name", page: Workflow },
  { path: "/uploads", page: Uploads },
  { path: "/account", page: Account },
  { path: "/account/:section", page: Account },
  { path: "/shared/:token", page: Shared },
  { path: "/fleet", page: Fleet, isForAdmins: true },
  { path: "/fleet/:node", page: FleetNode, isForAdmins: true },
  { path: "/queue", page: Queue, isForAdmins: true },
  { path: "/trends", page: Trends, isForAdmins: true },
  { path: "/users", page: Users, isForAdmins: true },
  { path: "/users/:user_id", page: User, isForAdmins: true },
  { path: "/tiers", page: Tiers, isForAdmins: true },
  { path: "/policy", page: Policy, isForAdmins: true },
  { path: "/dead-letters", page: DeadLetters, isForAdmins: true },
  { path: "/audit", page: Audit, isForAdmins: true },
];

export const NAV: readonly NavGroup[] = [
  {
    label: text.nav.make,
    items: [
      { path: "/", label: text.nav.playground, icon: "play", shortcut: "p" },
      { path: "/gallery", label: text.nav.gallery, icon: "image", shortcut: "g" },
      { path: "/jobs", label: text.nav.jobs, icon: "list", shortcut: "j" },
      { path: "/workflows", label: text.nav.workflows, icon: "workflow", shortcut: "w" },
      { path: "/uploads", label: text.nav.uploads, icon: "upload", shortcut: "u" },
    ],
  },
  { label: text.nav.you, items: [{ path: "/account", label: text.nav.account, icon: "user", shortcut: "a" }] },
  {
    label: text.nav.operate,
    isForAdmins: true,
    items: [
      { path: "/fleet", label: text.nav.fleet, icon: "server", shortcut: "f" },
      { path: "/queue", label: text.nav.queue, icon: "queue", shortcut: "q" },
      { path: "/trends", label: text.nav.trends, icon: "chart", shortcut: "t" },
      { path: "/users", label: text.nav.users, icon: "users", shortcut: "e" },
      { path: "/tiers", label: text.nav.tiers, icon: "list", shortcut: "i" },
      { path: "/policy", label: text.nav.policy, icon: "shield", shortcut: "o" },
      { path: "/dead-letters", label: text.nav.deadLetters, icon: "letter", shortcut: "d" },
      { path: "/audit", label: text.nav.audit, icon: "log", shortcut: "l" },
    ],
  },
];
