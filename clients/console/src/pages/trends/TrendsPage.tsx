import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function TrendsPage() {
  return <PageHead title={text.trends.title} />;
}
