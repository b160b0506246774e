// Announces the chosen files, sends their bytes to the object store, in parts where that is asked for, and follows
// them until they are READY or an ERROR.
"use strict";

const uploadForm = document.getElementById("upload");
const told = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "null");
const pause = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));

async function call(url, options = {}) {
  const { csrfHeaderName, csrfToken } = told("drf_csrf");
  const headers = { Accept: "application/json", [csrfHeaderName]: csrfToken, ...options.headers };
  const response = await fetch(url, { ...options, headers });
  const answer = await response.json().catch(() => null);
  if (!response.ok) {
    throw new Error(answer?.error?.message ?? `Refused (${response.status}).`);
  }
  return answer;
}

const post = (url, body) =>
  call(url, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });

function contentTypeOf(file) {
  const extension = file.name.slice(file.name.lastIndexOf(".")).toLowerCase();
  return told("content-types")[extension] ?? (file.type || "application/octet-stream");
}

function announce(file) {
  const body = new FormData(document.querySelector("#post-object-form form"));
  body.set("fileName", file.name);
  body.set("contentType", contentTypeOf(file));
  body.set("sizeBytes", file.size);
  return call(location.pathname, { method: "POST", body });
}

// fetch can't tell how far it is. Resolves to the ETag, or null where the store's CORS rules hide it.
function put(url, body, contentType, onProgress) {
  const { pathname, search } = new URL(url);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", "servedHere" in uploadForm.dataset ? pathname + search : url);
    request.setRequestHeader("Content-Type", contentType);
    request.upload.onprogress = (event) => onProgress(event.loaded);
    request.onerror = () =>
      reject(new Error(`The object store can't be reached. Its CORS rules must allow PUT from ${location.origin}.`));
    request.onload = () => {
      if (request.status < 300) {
        resolve(request.getResponseHeader("ETag"));
        return;
      }
      let message = `The object store refused it (${request.status}).`;
      try {
        message = JSON.parse(request.responseText).error.message;
      } catch {
        // a store that answers otherwise
      }
      reject(new Error(message));
    };
    request.send(body);
  });
}

async function putInParts(url, file, { partSizeBytes, parts }, onProgress) {
  const urls = new Map(parts.map((part) => [part.partNumber, part.uploadUrl]));
  const sent = [];
  for (let number = 1; (number - 1) * partSizeBytes < file.size || number === 1; number += 1) {
    const start = (number - 1) * partSizeBytes;
    if (!urls.has(number)) {
      const more = await post(`${url}/multipart/part-urls`, { partNumbers: [number] });
      urls.set(number, more.parts[0].uploadUrl);
    }
    const piece = file.slice(start, start + partSizeBytes);
    const etag = await put(urls.get(number), piece, "application/octet-stream", (bytes) => onProgress(start + bytes));
    if (etag === null) {
      throw new Error("The object store's CORS rules must expose the ETag header.");
    }
    sent.push({ partNumber: number, etag });
  }
  await post(`${url}/multipart/complete`, { parts: sent });
}

async function follow(url, show) {
  for (;;) {
    const file = await call(url);
    show(file.status === "ERROR" ? `ERROR: ${file.statusMessage}` : file.status, file.progress);
    if (file.status === "READY" || file.status === "ERROR") {
      return;
    }
    await pause(1000);
  }
}

async function upload(file) {
  const line = uploadForm.querySelector("ul").appendChild(document.createElement("li"));
  const name = line.appendChild(document.createElement("a"));
  const bar = line.appendChild(document.createElement("progress"));
  const state = line.appendChild(document.createElement("output"));
  name.textContent = file.name;
  bar.max = 100;
  const show = (text, percent) => {
    state.value = ` ${text}`;
    bar.value = percent;
  };
  const sending = (bytes) => show("sending", file.size ? (100 * bytes) / file.size : 100);
  try {
    sending(0);
    const announced = told("announced") ?? (await announce(file));
    const { organizationId, knowledgeBaseId, fileId } = announced;
    const url = `/orgs/${organizationId}/knowledgebases/${knowledgeBaseId}/files/${fileId}`;
    name.href = url;
    if (announced.multipart) {
      await putInParts(url, file, announced.multipart, sending);
    } else {
      await put(announced.uploadUrl, file, announced.contentType, sending);
    }
    await follow(url, show);
  } catch (error) {
    state.value = ` ${error.message}`;
  }
}

uploadForm.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = uploadForm.querySelector("button");
  button.disabled = true;
  for (const file of uploadForm.elements.file.files) {
    await upload(file);
  }
  button.disabled = false;
});
