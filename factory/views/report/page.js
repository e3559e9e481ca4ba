// What the page does: it says what a mark of a plot stands for, and it browses dialogues. The filters of the browser are
// the fragment of the address, so a link holds them, and back and forward change them. All text goes in as text, never
// as HTML.
"use strict";
{
  const tip = document.body.appendChild(document.createElement("div"));
  tip.id = "tip";
  tip.hidden = true;
  for (const title of document.querySelectorAll("a.mark > title")) {  // else the browser would show it as well, later
    title.parentNode.dataset.says = title.textContent;
    title.remove();
  }
  const over = (event) => {
    const says = event.target.closest?.("a.mark")?.dataset.says;
    tip.hidden = !says;
    if (!says) return;
    tip.textContent = says;
    const left = Math.min(event.clientX + 12, document.documentElement.clientWidth - tip.offsetWidth - 8);
    const below = event.clientY + 18;
    const fits = below + tip.offsetHeight < innerHeight;
    tip.style.left = `${Math.max(left, 8)}px`;
    tip.style.top = `${fits ? below : event.clientY - tip.offsetHeight - 10}px`;
  };
  addEventListener("pointermove", over);
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
}
if (document.getElementById("data")) {
  const BATCH = 20;
  const KINDS = ["decision", "reason", "group"];
  const { dialogues, quantities, groups } = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const [count, list, more] = ["count", "list", "more"].map(byId);
  const controls = Object.fromEntries(
    ["q", "decision", "reason", "group", "value", "least", "below", "sort", "order"].map((id) => [id, byId(id)]));
  const titles = new Map(quantities.map((one) => [one.name, one.title]));
  let found = [], shown = 0, typing = false;

  const code = (given) => given.split(":")[0];
  const words = (given) => given.replaceAll("_", " ");
  const number = (value) => value.toLocaleString("en", { maximumSignificantDigits: 4 });
  const valuesOf = (dialogue, name) => [dialogue.values[name] ?? []].flat();
  const make = (tag, className, ...children) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children.filter((child) => child !== null && child !== ""));
    return element;
  };

  for (const dialogue of dialogues) {
    dialogue.text = [dialogue.id, dialogue.topic, ...dialogue.reasons,
      ...dialogue.speakers.flatMap((speaker) => [speaker.seed, speaker.role, ...speaker.facts.map((fact) => fact.text)]),
      ...dialogue.turns.map((turn) => turn.text)].join("\n").toLowerCase();
  }

  function option(select, value, text) {
    const element = make("option", "", text);
    element.value = value;
    select.append(element);
  }

  function counted(select, values) {
    const counts = new Map();
    for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
    for (const [value, times] of [...counts].sort((one, other) => other[1] - one[1])) {
      option(select, value, `${words(value)} (${times.toLocaleString("en")})`);
    }
  }

  function fact(one, contradicted) {
    const origin = one.origin === "seed" ? null : make("span", "origin", ` ${one.origin}`);
    const item = make("li", contradicted ? "contradicted" : "", one.text, origin);
    if (contradicted) item.append(make("span", "origin", " contradicted"));
    return item;
  }

  function persona(speaker, place, dialogue) {
    const against = new Set(dialogue.turns.filter((turn) => turn.speaker === place).flatMap(
      (turn) => turn.marks.map((mark) => `${mark.origin} ${mark.fact}`)));
    const held = (one) => against.has(`${one.origin} ${one.text}`);
    return make("section", "",
      make("h4", "", "AB"[place], make("span", "origin", ` ${speaker.role ?? ""} seed ${speaker.seed}`)),
      make("ul", "", ...speaker.facts.map((one) => fact(one, held(one)))));
  }

  function mark(one) {
    const said = one.extracted === null ? null : make("span", "", "the fact ", make("q", "", one.extracted), " read from this turn ");
    const what = one.check === "turn_turn" ? `contradicts turn ${one.said + 1} of the same speaker: `
      : one.check === "extracted_extracted" ? "contradicts another fact read from a turn: "
      : "contradicts the speaker's fact ";
    return make("div", one.rejects ? "mark rejects" : "mark", said, what, make("q", "", one.fact),
      make("span", "origin", ` ${one.by}, P(contradiction) ${one.score.toFixed(2)}`));
  }

  function note(one) {
    return make("div", "remark", make("b", "", one.title), make("span", "", one.where), make("span", "", one.values),
      ...one.texts.map((text) => make("q", "", text)));
  }

  function turn(one, place) {
    return make("li", one.speaker ? "b" : "a",
      make("div", "said", make("b", "", `${"AB"[one.speaker]}${place + 1}`), one.text),
      ...one.marks.map(mark), ...one.notes.map(note));
  }

  // What scores found in single turns is much to read, so it is shown when it is asked for.
  function details(article) {
    const button = make("button", "small", "Show the scores of each turn");
    button.type = "button";
    button.addEventListener("click", () => {
      button.textContent = article.classList.toggle("full") ? "Hide the scores of each turn" : "Show the scores of each turn";
    });
    return button;
  }

  function card(dialogue) {
    const scores = dialogue.scores.map(([name, values]) => make("p", "scores", make("b", "", name), ` ${values}`));
    const link = make("a", "", dialogue.id.slice(0, 12));
    link.href = `#${dialogue.id}`;
    const reasons = dialogue.reasons.map((given) => words(given).replace(":", " × ")).join(", ");
    const sorted = controls.sort.value && ranked(dialogue);
    const article = make("article", dialogue.decision,
      make("h3", "", link, make("span", "decision", dialogue.decision), reasons && make("span", "", reasons),
        typeof sorted === "number" ? make("span", "", `${titles.get(controls.sort.value)} ${number(sorted)}`) : null,
        dialogue.imported ? make("span", "", "imported") : null, dialogue.topic && make("span", "", dialogue.topic)),
      ...scores, ...dialogue.notes.map(note),
      make("div", "people", ...dialogue.speakers.map((speaker, place) => persona(speaker, place, dialogue))),
      make("ol", "turns", ...dialogue.turns.map(turn)));
    article.dataset.id = dialogue.id;
    if (dialogue.turns.some((one) => one.notes.length)) article.querySelector(".turns").before(details(article));
    return article;
  }

  function showMore() {
    list.append(...found.slice(shown, shown + BATCH).map(card));
    shown = Math.min(shown + BATCH, found.length);
    more.hidden = shown >= found.length;
    more.textContent = `Show ${Math.min(BATCH, found.length - shown)} more`;
  }

  // What a dialogue is sorted by: of several values the one that comes first; undefined if it has none.
  function ranked(dialogue) {
    const values = valuesOf(dialogue, controls.sort.value);
    return values.length ? Math[controls.order.value ? "min" : "max"](...values) : undefined;
  }

  function fits(dialogue) {
    const { q, decision, reason, group, value, least, below } = controls;
    const from = least.value === "" ? -Infinity : Number(least.value);
    const to = below.value === "" ? Infinity : Number(below.value);
    return dialogue.text.includes(q.value.toLowerCase().trim())
      && (!decision.value || dialogue.decision === decision.value)
      && (!reason.value || dialogue.reasons.some((given) => code(given) === reason.value))
      && (!group.value || dialogue.groups.includes(Number(group.value)))
      && (!value.value || valuesOf(dialogue, value.value).some((one) => one >= from && one < to));
  }

  function show(pages) {
    found = dialogues.filter(fits);
    if (controls.sort.value) {
      const sign = controls.order.value ? 1 : -1;
      const rank = new Map(found.map((dialogue) => [dialogue, (ranked(dialogue) ?? sign * Infinity) * sign]));
      found.sort((one, other) => rank.get(one) === rank.get(other) ? 0 : rank.get(one) - rank.get(other));
    }
    controls.least.disabled = controls.below.disabled = !controls.value.value;
    controls.order.disabled = !controls.sort.value;
    const none = found.length ? "" : "; factory show and factory explain have the whole corpus";
    count.textContent = `${found.length.toLocaleString("en")} of the ${dialogues.length.toLocaleString("en")} dialogues on this page${none}`;
    list.replaceChildren();
    shown = 0;
    do showMore(); while (--pages > 0 && shown < found.length);
  }

  // The address holds the filters, or the id of one dialogue; that of a part of the page holds none.
  function read() {
    const fragment = location.hash.slice(1);
    if (/^[0-9a-f]{8,}$/.test(fragment)) return new URLSearchParams({ q: fragment });
    return new URLSearchParams(fragment.includes("=") ? fragment : "");
  }

  function write(how) {
    const given = new URLSearchParams();
    for (const [name, control] of Object.entries(controls)) {
      if (control.value !== "" && !control.disabled) given.set(name, control.value);
    }
    if (shown > BATCH) given.set("page", Math.ceil(shown / BATCH));
    history[how](null, "", `#${given.toString() || "dialogues"}`);
  }

  function follow() {
    const given = read();
    for (const [name, control] of Object.entries(controls)) {
      const wanted = given.get(name) ?? "";
      control.value = wanted;
      if (KINDS.includes(name) && control.value !== wanted) {  // a kind that this page has none of
        option(control, wanted, `${words(wanted)} (0)`);
        control.value = wanted;
      }
    }
    typing = false;
    show(Number(given.get("page") ?? 1));
    if (given.size) byId("dialogues").scrollIntoView();
  }

  counted(controls.decision, dialogues.map((dialogue) => dialogue.decision));
  counted(controls.reason, dialogues.flatMap((dialogue) => [...new Set(dialogue.reasons.map(code))]));
  for (const one of groups) option(controls.group, one.group, `${one.group} ${one.name}`);
  for (const one of quantities) {
    option(controls.value, one.name, one.title);
    option(controls.sort, one.name, one.title);
  }
  for (const control of Object.values(controls)) {
    control.addEventListener("input", () => {
      show(1);
      const typed = control.tagName === "INPUT";
      write(typed && typing ? "replaceState" : "pushState");  // what is typed is one step back, not one a letter
      typing = typed;
    });
  }
  more.addEventListener("click", () => {
    showMore();
    write("replaceState");
  });
  byId("clear").addEventListener("click", () => {
    for (const control of Object.values(controls)) control.value = "";
    show(1);
    write("pushState");
  });
  addEventListener("hashchange", follow);
  addEventListener("click", (event) => {  // a link to where the page is already changes no address
    if (event.target.closest?.("a")?.getAttribute("href") === location.hash && read().size) follow();
  });
  follow();
}
