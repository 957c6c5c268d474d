import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function TiersPage() {
  return <PageHead title={text.tiers.title} />;
}
