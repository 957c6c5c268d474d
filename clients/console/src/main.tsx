import "./ui/tokens.css";
import "./ui/base.css";
import "./shell/shell.css";

import { render } from "preact";

import { restoreSession } from "./api/session";
import { App } from "./shell/App";
import { applyTheme } from "./shell/theme";
import { reloadForAnotherUser } from "./shell/user_change";

applyTheme();
reloadForAnotherUser();
void restoreSession();
render(<App />, document.getElementById("app")!);
