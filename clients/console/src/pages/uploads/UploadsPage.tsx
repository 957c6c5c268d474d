import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function UploadsPage() {
  return <PageHead title={text.uploads.title} />;
}
