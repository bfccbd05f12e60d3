// Uses Intercom's official SDK against the fake Intercom at INTERCOM_URL, the
// way its own tests use Intercom, and prints a line for each thing that held.
import assert from "node:assert/strict";
import { IntercomClient, IntercomError } from "intercom-client";

const { INTERCOM_URL: url, INTERCOM_TOKEN: token, CONTACT_ID: contact } = process.env;
// Without retries, so that the fake's log has each call once.
const options = { environment: url, maxRetries: 0 };
const client = new IntercomClient({ ...options, token });

async function control(path, body) {
  const response = await fetch(`${url}/_fake/${path}`, { method: "POST", body: JSON.stringify(body) });
  assert.ok(response.ok, `${path}: ${response.status}`);
  return response.json();
}

async function refused(promise, status, code) {
  const error = await promise.then(() => assert.fail(`no error, want ${status}`), (e) => e);
  assert.ok(error instanceof IntercomError, String(error));
  assert.equal(error.statusCode, status);
  assert.equal(error.body.type, "error.list");
  assert.equal(error.body.errors[0].code, code);
}

const message = {
  message_type: "inapp",
  body: "Hello from Node",
  from: { type: "admin", id: 1 },
  to: { type: "user", id: contact },
};

const me = await client.admins.identify();
assert.equal(me.type, "admin");
assert.equal(me.app.id_code, "fake_app");
console.log("identify: ok");

const sent = await client.messages.create(message);
assert.equal(sent.type, "admin_message");
assert.equal(sent.message_type, "inapp");
assert.match(sent.id, /^\d+$/);
assert.equal(sent.body, message.body);
console.log("create: ok");

const email = await client.messages.create({
  ...message, message_type: "email", subject: "News", template: "plain", create_conversation_without_contact_reply: true,
});
assert.equal(email.message_type, "email");
assert.ok(email.conversation_id);
console.log("create email with conversation: ok");

const bySource = {
  query: { operator: "AND", value: [{ field: "source.id", operator: "=", value: sent.id }] },
  pagination: { per_page: 5 },
};
assert.equal((await client.conversations.search(bySource)).data.length, 0);
const reply = await control("replies", { message_id: sent.id, text: "Hello back" });
const found = (await client.conversations.search(bySource)).data;
assert.equal(found.length, 1);
assert.equal(found[0].id, reply.conversation_id);
assert.equal(found[0].source.id, sent.id);
assert.equal(found[0].source.delivered_as, "admin_initiated");
console.log("search by source.id after a reply: ok");

let pages = 0;
for await (const conversation of await client.conversations.search({
  query: { field: "created_at", operator: ">", value: 0 }, pagination: { per_page: 1 },
})) {
  assert.ok(conversation.id);
  pages++;
}
assert.equal(pages, 2);
console.log("search over two pages: ok");

const conversation = await client.conversations.find({ conversation_id: reply.conversation_id });
assert.equal(conversation.conversation_parts.conversation_parts[0].id, reply.part_id);
assert.equal(conversation.conversation_parts.conversation_parts[0].author.id, contact);
console.log("find conversation: ok");

await refused(new IntercomClient({ ...options, token: "wrong" }).admins.identify(), 401, "unauthorized");
console.log("401 for a wrong token: ok");
await refused(client.messages.create({ ...message, to: { type: "user", id: "nobody" } }), 404, "not_found");
console.log("404 for an unknown contact: ok");
await refused(client.messages.create({ ...message, body: null }), 400, "parameter_invalid");
console.log("400 without a body: ok");
await refused(client.messages.create({ ...message, message_type: "email" }), 422, "parameter_not_found");
console.log("422 without a subject: ok");
