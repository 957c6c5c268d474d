import { text } from "../../text";
import { PageHead } from "../../ui/show";

export default function GalleryPage() {
  return <PageHead title={text.gallery.title} />;
}
