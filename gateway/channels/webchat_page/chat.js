// The web chat: speaks the frames of the websocket channel (gateway/channels/README.md), without any library.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const log = $("log"), text = $("text"), scroll = $("scroll");
  const place = document.body.dataset;
  const PING_MS = 25000, SILENT_MS = 60000, PATIENCE_MS = 90000, KEPT = 200;
  // What the tab remembers over a reload: the conversation, what was said and heard, the last seq, the token.
  const KEY = "oclaw " + place.socket;
  let memory = recall();
  let socket = null, ready = false, tries = 0, timer = 0, hope = 0, heardAt = 0, streams = new Map();

  function recall() {
    try { const kept = JSON.parse(sessionStorage.getItem(KEY)); if (kept && kept.conversation) return kept; } catch { /* a new tab */ }
    return { conversation: word(), last: null, items: [], token: "" };
  }
  function remember() {
    memory.items = memory.items.slice(-KEPT);
    try { sessionStorage.setItem(KEY, JSON.stringify(memory)); } catch { /* full or forbidden: the page works without */ }
  }
  // randomUUID exists only on https and localhost; this works everywhere.
  function word() { return Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join(""); }

  // ── the connection ────────────────────────────────────────────────
  function connect() {
    clearTimeout(timer);
    if (place.token === "needed" && !memory.token) { askForToken(""); return; }
    if (socket) return;
    tell("connecting", tries ? "Reconnecting" : "Connecting");
    const url = new URL(place.socket, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const mine = socket = new WebSocket(url);
    mine.onopen = () => send("hello", { data: { conversation: memory.conversation, token: memory.token, last: memory.last, acks: true } });
    mine.onmessage = (event) => { heardAt = Date.now(); if (mine === socket) obey(JSON.parse(event.data)); };
    mine.onclose = (event) => { if (mine === socket) lost(event); };
  }
  function lost(event) {
    socket = null; ready = false;
    for (const item of streams.values()) settle(item, true);
    streams.clear();
    if (event.code === 1008 && place.token === "needed") { memory.token = ""; remember(); askForToken("That token was not accepted."); return; }
    const pause = Math.min(15000, 500 * 2 ** tries++) * (0.7 + Math.random() * 0.3);
    tell("waiting", navigator.onLine ? "Reconnecting" : "Offline");
    timer = setTimeout(connect, pause);
    waiting();
  }
  function send(type, rest) {
    if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ v: 1, type, ts: Date.now() / 1000, ...rest }));
  }
  function feel() {
    if (!ready) return;
    if (Date.now() - heardAt > SILENT_MS) { const dead = socket; lost({ code: 1006 }); dead.close(); } else send("ping", {});
  }
  setInterval(feel, PING_MS);
  const soon = () => { if (!socket) { tries = 0; connect(); } else if (ready) { tell("open", "Connected"); feel(); } };
  addEventListener("online", soon);
  addEventListener("offline", () => tell("waiting", "Offline"));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });

  // ── what comes in ─────────────────────────────────────────────────
  function obey(frame) {
    const data = frame.data || {};
    switch (frame.type) {
      case "welcome":
        ready = true; tries = 0; tell("open", "Connected");
        if (memory.last === null) memory.last = frame.seq;
        // This page acks every answer, so whatever it has not seen comes again, recovered or not.
        if (!data.recovered && memory.items.some((item) => item.state === "accepted")) note("The connection was renewed. What you said is kept.");
        if (!data.recovered) memory.last = Math.min(memory.last, frame.seq);
        for (const item of memory.items) if (item.state === "sending") speak(item);
        remember();
        break;
      case "ack": mark(frame.id, "accepted"); break;
      case "busy": mark(frame.id, "refused", "The gateway is busy."); break;
      case "error": if (frame.id) mark(frame.id, "refused", "This could not be taken: " + data.why); break;
      case "reply.start": hear(frame.id, "", data.in_reply_to, true); break;
      case "reply.delta": grow(frame.id, data.text); break;
      case "reply.end": case "reply":
        finish(frame.id, data);
        if (frame.seq) { memory.last = Math.max(memory.last || 0, frame.seq); send("ack", { seq: frame.seq }); }
        remember();
        break;
    }
    waiting();
  }
  function hear(id, said, answers, streaming) {
    let item = memory.items.find((each) => each.kind === "heard" && each.id === id);
    if (!item) { item = { kind: "heard", id, text: said, answers }; memory.items.push(item); draw(item); }
    if (streaming) { item.text = ""; item.node.setAttribute("aria-busy", "true"); streams.set(id, item); }
    return item;
  }
  function grow(id, piece) {
    const item = streams.get(id);
    if (!item) return;
    item.text += piece; follow(() => write(item.body, item.text));
  }
  function finish(id, data) {
    const item = hear(id, data.text, data.in_reply_to, false);
    streams.delete(id);
    item.text = data.text; item.files = data.attachments;
    settle(item, Boolean(data.incomplete));
    if (data.in_reply_to) mark(data.in_reply_to, "answered");
  }
  function settle(item, cut) {
    item.cut = cut;
    follow(() => { show(item); item.node.setAttribute("aria-busy", "false"); });
  }

  // ── what goes out ─────────────────────────────────────────────────
  function speak(item) { send("message", { id: item.id, data: { text: item.text } }); }
  function say(words) {
    const item = { kind: "said", id: word(), text: words, state: "sending" };
    memory.items.push(item); draw(item, true); remember();
    if (ready) speak(item);
    waiting();
  }
  const STATES = { sending: "Sending", accepted: "Accepted", answered: "Answered", refused: "" };
  function mark(id, state, why) {
    const item = memory.items.find((each) => each.kind === "said" && each.id === id);
    if (!item || (item.state === "answered" && state !== "answered")) return;
    item.state = state; item.at = Date.now(); item.why = why || ""; label(item); remember();
  }
  function label(item) {
    item.node.dataset.is = item.state;
    const line = item.node.querySelector(".state");
    line.replaceChildren(document.createTextNode(item.why || STATES[item.state]));
    if (item.state !== "refused") return;
    const again = make("button", "", "Try again");
    again.type = "button";
    again.onclick = () => { mark(item.id, "sending"); if (ready) speak(item); waiting(); text.focus(); };
    line.append(again);
  }

  // ── what is seen ──────────────────────────────────────────────────
  function make(tag, kind, words) { const node = document.createElement(tag); if (kind) node.className = kind; if (words) node.textContent = words; return node; }
  function draw(item, mine) {
    $("empty").hidden = true;
    const node = make("div", item.kind), body = make("div", "body");
    Object.defineProperties(item, { node: { value: node, configurable: true }, body: { value: body, configurable: true } });
    node.append(make("span", "visually-hidden", item.kind === "said" ? "You said:" : "Answer:"), body);
    if (item.kind === "said") { body.textContent = item.text; node.append(make("div", "state")); label(item); } else show(item);
    follow(() => log.append(node), mine);
  }
  function note(words) { follow(() => { log.querySelectorAll(".note").forEach((old) => old.remove()); log.append(make("div", "note", words)); }); }
  function show(item) {
    write(item.body, item.text);
    for (const file of item.files || []) inline(item.body.appendChild(make("p", "file")), [file.name || file.kind || "file", file.url].filter(Boolean).join(" "));
    if (item.cut) item.body.append(make("p", "cut", "The answer broke off here."));
  }
  // Paragraphs, fenced and inline code, bold and links; built of nodes, so nothing that is said can become markup.
  function write(body, words) {
    body.replaceChildren();
    words.split(/^```[^\n]*\n?/m).forEach((part, index) => {
      if (index % 2) { const pre = make("pre"); pre.tabIndex = 0; pre.append(make("code", "", part.replace(/\n$/, ""))); body.append(pre); return; }
      for (const block of blocks(part)) paragraph(body, block);
    });
    if (!body.firstChild) body.append(make("p"));
  }
  // Line by line: an expression that looks behind is a syntax error in browsers before 2023, and they would show nothing.
  function blocks(part) {
    const made = [];
    let open = false, listed = false;
    for (const line of part.split("\n")) {
      const point = /^[-*] /.test(line), empty = !line.trim();
      if (!empty && open && !point && !listed) made.push(made.pop() + "\n" + line);
      else if (!empty) made.push(line);
      open = !empty; listed = point;
    }
    return made;
  }
  function paragraph(body, words) {
    if (!/^[-*] /.test(words)) { const p = make("p"); inline(p, words); body.append(p); return; }
    const list = body.lastChild && body.lastChild.tagName === "UL" ? body.lastChild : body.appendChild(make("ul"));
    inline(list.appendChild(make("li")), words.slice(2));
  }
  function inline(parent, words) {
    for (const piece of words.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*|https?:\/\/[^\s<>"')\]]+)/)) {
      if (/^`[^`]+`$/.test(piece)) parent.append(make("code", "", piece.slice(1, -1)));
      else if (/^\*\*[^*]+\*\*$/.test(piece)) parent.append(make("strong", "", piece.slice(2, -2)));
      else if (/^https?:\/\//.test(piece)) { const a = make("a", "", piece); a.href = piece; a.rel = "noopener noreferrer"; a.target = "_blank"; parent.append(a); }
      else parent.append(piece);
    }
  }
  const atEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
  function follow(change, always) {
    const stay = always || atEnd();
    change();
    if (stay) scroll.scrollTop = scroll.scrollHeight;
    $("latest").hidden = stay;
  }
  let pinned = true;
  scroll.addEventListener("scroll", () => { pinned = atEnd(); if (pinned) $("latest").hidden = true; }, { passive: true });
  // The keyboard of a phone opens, the window is resized: whoever read the end goes on reading it.
  new ResizeObserver(() => { if (pinned) scroll.scrollTop = scroll.scrollHeight; }).observe(scroll);
  $("latest").onclick = () => { scroll.scrollTop = scroll.scrollHeight; text.focus(); };
  // Not every message is answered, and a refusal by a rule may be silent: after a while nothing is promised any more.
  function waiting() {
    const last = memory.items.filter((item) => item.kind === "said").pop();
    const hopeful = last && last.state === "accepted" && Date.now() - last.at < PATIENCE_MS;
    follow(() => { $("typing").hidden = !(ready && hopeful && !streams.size); });
    clearTimeout(hope);
    if (hopeful) hope = setTimeout(waiting, PATIENCE_MS);
  }
  function tell(state, words) { $("status").dataset.state = state; if ($("status-text").textContent !== words) $("status-text").textContent = words; }
  function askForToken(why) {
    tell("refused", "Token needed");
    if (why) $("door-why").textContent = why;
    if (!$("door").open) $("door").showModal();
    $("token").focus();
  }

  // ── hands ─────────────────────────────────────────────────────────
  const touch = matchMedia("(pointer: coarse)"), HINT = $("hint").textContent;
  function fit() {
    text.style.height = "auto"; text.style.height = text.scrollHeight + 2 + "px"; $("send").disabled = !text.value.trim();
    const full = text.value.length >= text.maxLength;
    $("hint").classList.toggle("full", full);
    $("hint").textContent = full ? "A message can be no longer than this; check where it ends." : HINT;
  }
  text.addEventListener("input", fit);
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && !touch.matches) { event.preventDefault(); $("composer").requestSubmit(); }
  });
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    const words = text.value.trim();
    if (!words) return;
    text.value = ""; fit(); say(words); text.focus();
  });
  $("door").addEventListener("cancel", (event) => event.preventDefault());
  $("door-form").addEventListener("submit", () => { memory.token = $("token").value.trim(); $("token").value = ""; remember(); connect(); text.focus(); });
  $("fresh").onclick = () => {
    memory = { conversation: word(), last: null, items: [], token: memory.token };
    streams.clear(); log.replaceChildren(); $("empty").hidden = false; remember();
    const old = socket; socket = null; ready = false; if (old) old.close();
    tries = 0; connect(); waiting(); text.focus();
  };
  memory.items.forEach((item) => draw(item, true));
  fit(); waiting(); connect();
  if (!touch.matches) text.focus();
})();
