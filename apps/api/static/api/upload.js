// Sends the chosen file to the upload URL that the page was answered with.
document.getElementById("upload").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const output = form.querySelector("output");
  output.value = "Sending…";
  try {
    const response = await fetch(form.dataset.url, {
      method: "PUT",
      headers: { "Content-Type": form.dataset.contentType },
      body: form.elements.file.files[0],
      credentials: "omit",
    });
    if (response.ok) {
      output.value = "Sent. It is being processed.";
      return;
    }
    const answer = await response.json().catch(() => null);
    output.value = answer?.error?.message ?? `Refused (${response.status}).`;
  } catch {
    output.value = "The object store can't be reached from here.";
  }
});
