// Keeps chats in this browser (IndexedDB). Where the browser forbids that, they last as long as the page.

const STORE = "chats";
const forgotten = new Map(); // where there is no database

let opened = null;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const asked = indexedDB.open("aspd", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "id" });
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
  return opened;
}

async function run(mode, ask, instead) {
  try {
    const store = (await database()).transaction(STORE, mode).objectStore(STORE);
    return await new Promise((resolve, reject) => {
      const request = ask(store);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  } catch {
    return instead(forgotten);
  }
}

/** A chat: { id, title, changed: milliseconds, turns: [{ question, runs: [{ mode, answer, clock }] }] }. */
export const keepChat = (chat) => run("readwrite", (store) => store.put(chat), (kept) => kept.set(chat.id, chat));

/** The chat of this id, or undefined. */
export const keptChat = (id) => run("readonly", (store) => store.get(id), (kept) => kept.get(id));

export const forgetChat = (id) => run("readwrite", (store) => store.delete(id), (kept) => kept.delete(id));

/** All chats, the last changed first. */
export async function keptChats() {
  const chats = await run("readonly", (store) => store.getAll(), (kept) => [...kept.values()]);
  return chats.sort((one, other) => other.changed - one.changed);
}
