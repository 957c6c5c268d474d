import { useErrorBoundary, useState } from "preact/hooks";
import { ErrorBoundary, LocationProvider, Route, Router, useLocation } from "preact-iso";

import { Problem } from "../api/problem";
import { forgetResources } from "../api/resource";
import { isAdmin, me, restoreProblem, restoreSession, signOut } from "../api/session";
import { isConnected } from "../live/watch";
import { NAV, ROUTES } from "../routes";
import { text } from "../text";
import { Button, IconButton } from "../ui/controls";
import { ProblemNotice, showToast, Toasts } from "../ui/dialog";
import { focusHeading } from "../ui/heading";
import { Icon } from "../ui/icons";
import { Empty, Skeleton } from "../ui/show";
import icon from "./icon.svg";
import { openShortcuts, Shortcuts } from "./shortcuts";
import { SignInPage } from "./SignInPage";
import { chooseTheme, theme } from "./theme";

export function App() {
  const [crash] = useErrorBoundary((error) => console.error(error));
  if (crash) return <Crashed />;
  if (me.value === undefined) return <Starting />;
  if (me.value === null) return <><SignInPage /><Toasts /></>;
  return (
    <LocationProvider>
      <Shell />
    </LocationProvider>
  );
}

/** Shown until it is known whether there is a session. */
function Starting() {
  const problem = restoreProblem.value;
  return <main class="page">{problem ? <ProblemNotice problem={problem} onRetry={() => void restoreSession()} /> : <Skeleton />}</main>;
}

async function leave(): Promise<void> {
  try {
    await signOut();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    showToast(text.errors.sessionNotEnded(error.message), "bad");
  }
  forgetResources();
}

function Shell() {
  const [isMenuOpen, setMenuOpen] = useState(false);
  const [isPageLoading, setPageLoading] = useState(false);
  const { path } = useLocation();
  return (
    <div class="shell" data-menu={isMenuOpen ? "open" : "closed"}>
      <a class="skip" href="#content">{text.common.skip}</a>
      <header class="topbar">
        <IconButton icon="menu" label={text.nav.open} aria-expanded={isMenuOpen} onClick={() => setMenuOpen(!isMenuOpen)} />
        <strong>{text.product}</strong>
      </header>
      <Nav path={path} onNavigate={() => setMenuOpen(false)} />
      <main class="page" id="content" aria-busy={isPageLoading}>
        {isConnected.value === false && <div class="notice warn" role="status"><Icon name="refresh" />{text.errors.reconnecting}</div>}
        <ErrorBoundary>
          <Router onRouteChange={focusHeading} onLoadStart={() => setPageLoading(true)} onLoadEnd={() => setPageLoading(false)}>
            {ROUTES.map(({ path: pattern, page, isForAdmins }) => (
              <Route key={pattern} path={pattern} component={isForAdmins && !isAdmin.value ? AdminOnly : page} />
            ))}
            <Route default component={NotFound} />
          </Router>
        </ErrorBoundary>
      </main>
      <Shortcuts />
      <Toasts />
    </div>
  );
}

function Nav({ path, onNavigate }: { path: string; onNavigate: () => void }) {
  const isCurrent = (target: string) => (target === "/" ? path === "/" : path === target || path.startsWith(`${target}/`));
  const other = theme.value === "dark" ? "light" : "dark";
  return (
    <nav class="nav" aria-label={text.nav.label}>
      <a class="brand" href="/" onClick={onNavigate}><img src={icon} alt="" width={22} height={22} />{text.product}</a>
      {NAV.filter(({ isForAdmins }) => !isForAdmins || isAdmin.value).map(({ label, items }) => (
        <section key={label} aria-label={label}>
          <div class="nav-label" aria-hidden="true">{label}</div>
          <ul>
            {items.map((item) => (
              <li key={item.path}>
                <a href={item.path} aria-current={isCurrent(item.path) ? "page" : undefined} onClick={onNavigate}>
                  <Icon name={item.icon} />{item.label}
                </a>
              </li>
            ))}
          </ul>
        </section>
      ))}
      <div class="nav-foot">
        <div class="row">
          <span class="truncate grow" title={me.value!.email}>{me.value!.username}</span>
          <span class="badge plain">{me.value!.tier}</span>
        </div>
        <div class="row">
          <IconButton icon={other === "dark" ? "moon" : "sun"} label={text.nav[other]} onClick={() => chooseTheme(other)} />
          <IconButton icon="help" label={text.nav.help} onClick={openShortcuts} />
          <span class="grow" />
          <Button look="quiet" isSmall onClick={() => void leave()}>{text.nav.signOut}</Button>
        </div>
      </div>
    </nav>
  );
}

function NotFound() {
  return <Empty icon="search" title={text.errors.notFound} isPage><a class="button" href="/">{text.nav.playground}</a></Empty>;
}

function AdminOnly() {
  return <Empty icon="shield" title={text.errors.adminOnly} isPage><a class="button" href="/">{text.nav.playground}</a></Empty>;
}

function Crashed() {
  return (
    <main class="page">
      <Empty icon="alert" title={text.errors.crashed} isPage>
        <Button look="primary" onClick={() => location.reload()}>{text.errors.reload}</Button>
      </Empty>
    </main>
  );
}
