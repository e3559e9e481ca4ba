// The browser for dialogues. All text goes in as text, never as HTML.
"use strict";
{
  const BATCH = 20;
  const dialogues = JSON.parse(document.getElementById("data").textContent);
  const [search, decision, reason, count, list, more] = ["search", "decision", "reason", "count", "list", "more"].map(
    (id) => document.getElementById(id));
  let found = [], shown = 0;

  const code = (given) => given.split(":")[0];
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

  function options(select, values) {
    const counts = new Map();
    for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
    for (const [value, times] of [...counts].sort((one, other) => other[1] - one[1])) {
      const option = make("option", "", `${value.replaceAll("_", " ")} (${times.toLocaleString("en")})`);
      option.value = value;
      select.append(option);
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
    const what = one.check === "turn_turn" ? `contradicts own turn ${one.said + 1} `
      : one.check === "turn_persona" ? "contradicts own fact "
      : "";
    const said = one.extracted === null ? null : make("span", "", "extracted ", make("q", "", one.extracted), " contradicts own fact ");
    return make("div", one.rejects ? "mark rejects" : "mark", said, what, make("q", "", one.fact),
      ` P(contradiction) ${one.score.toFixed(2)}, ${one.by}`);
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

  function card(dialogue) {
    const scores = dialogue.scores.map(([name, values]) => make("p", "scores", make("b", "", name), ` ${values}`));
    const link = make("a", "", dialogue.id.slice(0, 12));
    link.href = `#${dialogue.id}`;
    const reasons = dialogue.reasons.map((given) => given.replaceAll("_", " ").replace(":", " × ")).join(", ");
    const article = make("article", dialogue.decision,
      make("h3", "", link, make("span", "decision", dialogue.decision), reasons && make("span", "", reasons),
        dialogue.imported ? make("span", "", "imported") : null, dialogue.topic && make("span", "", dialogue.topic)),
      ...scores, ...dialogue.notes.map(note),
      make("div", "people", ...dialogue.speakers.map((speaker, place) => persona(speaker, place, dialogue))),
      make("ol", "turns", ...dialogue.turns.map(turn)));
    article.dataset.id = dialogue.id;
    return article;
  }

  function showMore() {
    list.append(...found.slice(shown, shown + BATCH).map(card));
    shown = Math.min(shown + BATCH, found.length);
    more.hidden = shown >= found.length;
    more.textContent = `Show ${Math.min(BATCH, found.length - shown)} more`;
  }

  function filter() {
    const words = search.value.toLowerCase().trim();
    found = dialogues.filter((dialogue) => dialogue.text.includes(words)
      && (!decision.value || dialogue.decision === decision.value)
      && (!reason.value || dialogue.reasons.some((given) => code(given) === reason.value)));
    count.textContent = `${found.length.toLocaleString("en")} of the ${dialogues.length.toLocaleString("en")} dialogues on this page`;
    list.replaceChildren();
    shown = 0;
    showMore();
  }

  function follow() {
    const id = location.hash.slice(1);
    if (!/^[0-9a-f]{8,}$/.test(id)) return;
    search.value = id;
    decision.value = reason.value = "";
    filter();
    if (!found.length) count.textContent = `${id} is not among the dialogues on this page; factory show and factory explain have all`;
    document.getElementById("dialogues").scrollIntoView();
  }

  options(decision, dialogues.map((dialogue) => dialogue.decision));
  options(reason, dialogues.flatMap((dialogue) => [...new Set(dialogue.reasons.map(code))]));
  for (const control of [search, decision, reason]) control.addEventListener("input", filter);
  more.addEventListener("click", showMore);
  document.getElementById("clear").addEventListener("click", () => {
    search.value = decision.value = reason.value = "";
    history.replaceState(null, "", "#dialogues");
    filter();
  });
  addEventListener("hashchange", follow);
  filter();
  follow();
}
