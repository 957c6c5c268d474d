import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function UserPage() {
  return <PageHead title={text.users.title} />;
}
