import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function UsersPage() {
  return <PageHead title={text.users.title} />;
}
