import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function FleetPage() {
  return <PageHead title={text.fleet.title} />;
}
