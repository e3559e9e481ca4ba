// Labels of pairs, by keys or buttons. All text goes in as text, never as HTML.
"use strict";
{
  const { draw, labelled_by, pairs } = JSON.parse(document.getElementById("data").textContent);
  const KEPT = `persona-factory labels ${draw}`;
  const LABELS = ["entailment", "neutral", "contradiction"];
  const element = (id) => document.getElementById(id);
  const buttons = [...document.querySelectorAll("[data-label]")];
  let state = { at: 0, labels: {} };

  const tell = (why) => { element("kept").textContent = `This browser keeps nothing of this page (${why}), so save before you close it.`; };
  try {
    state = JSON.parse(localStorage.getItem(KEPT)) ?? state;
  } catch (error) {
    tell(error.message);
  }
  const keep = () => {
    try {
      localStorage.setItem(KEPT, JSON.stringify(state));
    } catch (error) {
      tell(error.message);
    }
  };

  const labelled = () => Object.keys(state.labels).length;
  const percent = (share) => `${(100 * share).toFixed(1)} %`;

  const show = () => {
    const ended = state.at >= pairs.length;
    element("bar").max = pairs.length;
    element("bar").value = labelled();
    element("count").textContent = `${ended ? "" : `pair ${state.at + 1}, `}${labelled()} of ${pairs.length} labelled`;
    element("pair").hidden = ended;
    element("end").hidden = !ended;
    element("back").disabled = state.at === 0;
    element("skip").disabled = ended;
    element("save").disabled = labelled() === 0;
    if (ended) {
      const left = pairs.length - labelled();
      element("left").textContent = left ? `${left} pairs have no label; they are not saved.` : "All pairs have a label.";
      element("unlabelled").hidden = left === 0;
      return;
    }
    const { record, first, second, context } = pairs[state.at];
    element("first-what").textContent = first;
    element("first").textContent = record.premise;
    element("second-what").textContent = second;
    element("second").textContent = record.hypothesis;
    element("context").replaceChildren(...context.map((turn) => {
      const line = document.createElement("li");
      line.classList.toggle("judged", turn.judged);
      line.textContent = `${turn.speaker}: ${turn.text}`;
      return line;
    }));
    const label = state.labels[state.at];
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.label === label));
    element("model").hidden = label === undefined;
    element("model").textContent = label === undefined ? ""
      : `The model: ${LABELS.map((name) => `${name} ${percent(record[name])}`).join(", ")}`;
  };

  const go = (to) => {
    state.at = Math.max(0, Math.min(to, pairs.length));
    keep();
    show();
  };
  const label = (name) => {
    if (state.at >= pairs.length) return;
    state.labels[state.at] = name;
    go(state.at + 1);
  };
  const save = () => {
    const lines = pairs.flatMap(({ record }, place) =>
      place in state.labels ? [JSON.stringify({ ...record, label: state.labels[place], labelled_by })] : []);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "application/jsonl" }));
    link.download = `labels-${draw}-${lines.length}.jsonl`; // a second file of the same name would get another one
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // some browsers read it after the click
  };

  const known = ({ label: _, labelled_by: __, ...record }) => JSON.stringify(record);
  const load = (text) => {
    const places = new Map(pairs.map(({ record }, place) => [known(record), place]));
    let taken = 0, others = 0;
    for (const line of text.split("\n").filter((one) => one.trim())) {
      let given;
      try {
        given = JSON.parse(line) ?? {};
      } catch {
        given = {}; // counted as no pair of this page
      }
      const place = places.get(known(given));
      if (place === undefined || !LABELS.includes(given.label)) others += 1;
      else { state.labels[place] = given.label; taken += 1; }
    }
    element("loaded").textContent = `${taken} labels loaded${others ? `; ${others} lines are no labelled pairs of this page` : ""}.`;
    const next = pairs.findIndex((_, place) => !(place in state.labels));
    go(next < 0 ? pairs.length : next);
  };
  element("file").addEventListener("change", async ({ target }) => {
    if (target.files.length) load(await target.files[0].text());
    target.value = ""; // so that the same file can be chosen again
  });

  const does = {
    load: () => element("file").click(),
    back: () => go(state.at - 1),
    skip: () => go(state.at + 1),
    unlabelled: () => go(pairs.findIndex((_, place) => !(place in state.labels))),
    save,
  };
  for (const button of buttons) button.addEventListener("click", () => label(button.dataset.label));
  for (const [id, act] of Object.entries(does)) element(id).addEventListener("click", act);
  const keys = {
    1: () => label(LABELS[0]), 2: () => label(LABELS[1]), 3: () => label(LABELS[2]),
    0: does.back, Backspace: does.back, " ": does.skip,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  show();
}
