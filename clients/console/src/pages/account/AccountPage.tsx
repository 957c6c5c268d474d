import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function AccountPage() {
  return <PageHead title={text.account.title} />;
}
