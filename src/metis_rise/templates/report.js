"use strict";
// The page's own script. Whatever comes from a run enters the page through textContent alone.

(function explore() {
  const data = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("filters");
  const cards = document.getElementById("cards");
  const found = document.getElementById("found");
  const more = document.getElementById("more");
  const AT_ONCE = 12;
  const SHORT = 3;
  const COLOURS = ["base", "rl", "rise", "third"];
  const opened = new Set();
  let matching = [];
  let shown = 0;

  function make(name, style, text) {
    const made = document.createElement(name);
    if (style) made.className = style;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function haystack(problem) {
    if (problem.hay === undefined) {
      const parts = [problem.id, problem.question, problem.gold, ...(problem.choices || [])];
      for (const answer of problem.answers) parts.push(answer.text);
      problem.hay = parts.join("\n").toLowerCase();
    }
    return problem.hay;
  }

  // What each filter asks: of a problem, or of an answer to it.
  const OF_PROBLEM = ["family", "bucket", "change"];
  const OF_ANSWER = ["stage", "source"];
  const MARKS = { right: (a) => a.right, wrong: (a) => !a.right };

  function options(name, values) {
    const select = form.elements[name];
    const any = make("option", "", "any");
    any.value = "";
    select.append(any);
    for (const value of values) {
      const option = make("option", "", value);
      option.value = value;
      select.append(option);
    }
    select.closest("label").hidden = values.length < 2;
  }

  function distinct(values) {
    return [...new Set(values)].filter((value) => value !== "");
  }

  function wanted() {
    const said = {};
    for (const name of ["q", ...OF_PROBLEM, ...OF_ANSWER, "mark"]) said[name] = form.elements[name].value;
    said.shade = form.elements.shade ? form.elements.shade.checked : false;
    return said;
  }

  function asksAnswers(said) {
    return said.mark !== "" || OF_ANSWER.some((name) => said[name] !== "");
  }

  function answerFits(answer, said) {
    if (said.mark !== "" && !MARKS[said.mark](answer)) return false;
    return OF_ANSWER.every((name) => said[name] === "" || answer[name] === said[name]);
  }

  function problemFits(problem, said) {
    if (!OF_PROBLEM.every((name) => said[name] === "" || problem[name] === said[name])) return false;
    if (asksAnswers(said) && !problem.answers.some((answer) => answerFits(answer, said))) return false;
    return said.q === "" || haystack(problem).includes(said.q.toLowerCase());
  }

  function completion(answer, shade) {
    const box = make("div", "completion");
    if (shade && answer.lengths) {
      let start = 0;
      answer.lengths.forEach((length, index) => {
        const nats = answer.surprises[index] / 100;
        const token = make("span", "token", answer.text.slice(start, start + length));
        // Five nats, a probability below 1 %, is the darkest.
        token.style.setProperty("--s", Math.round(Math.min(1, Math.max(0, nats) / 5) * 85));
        token.title = "log-probability " + (-nats).toFixed(2) + ", " + (100 * Math.exp(-nats)).toPrecision(3) + " %";
        box.append(token);
        start += length;
      });
      if (start < answer.text.length) box.append(document.createTextNode(answer.text.slice(start)));
      return box;
    }
    for (const part of answer.text.split(/(<\/?(?:think|answer)>)/)) {
      if (/^<\/?(?:think|answer)>$/.test(part)) box.append(make("span", "tag", part));
      else if (part) box.append(document.createTextNode(part));
    }
    return box;
  }

  function answerBox(answer, said, other) {
    const box = make("section", "answer" + (other ? " other" : ""));
    const colour = COLOURS.includes(answer.colour) ? answer.colour : "base";
    box.style.setProperty("--c", "var(--" + colour + ")");
    const head = make("header");
    head.append(make("h3", "", answer.title));
    head.append(make("span", "mark " + (answer.right ? "yes" : "no"), (answer.right ? "✓ " : "✗ ") + answer.mark));
    box.append(head);
    const value = make("p", "answer-value");
    if (answer.extracted === null) value.textContent = "no answer found";
    else value.append(document.createTextNode("answer "), make("b", "", answer.extracted));
    if (answer.stop !== "eos") value.append(document.createTextNode(" · ended by " + answer.stop));
    box.append(value, completion(answer, said.shade));
    if (answer.cut) box.append(make("p", "answer-value", "… " + answer.cut.toLocaleString("en") + " more characters"));
    if (answer.why.length) box.append(make("p", "why", "Verifier: " + answer.why.join(" · ")));
    return box;
  }

  // One answer of each kind first, so that the few that are shown at first tell a problem's way through the stages.
  function leading(answers) {
    const seen = new Set();
    const first = answers.filter((answer) => {
      const kind = answer.stage === "evaluation" ? answer.title : answer.stage;
      return !seen.has(kind) && seen.add(kind);
    });
    const few = new Set([...first, ...answers].slice(0, SHORT));
    return answers.filter((answer) => few.has(answer));
  }

  function answersOf(problem, said) {
    const fitting = problem.answers.filter((answer) => answerFits(answer, said));
    const whole = opened.has(problem.id);
    const grid = make("div", "answers");
    for (const answer of whole ? problem.answers : leading(fitting)) {
      grid.append(answerBox(answer, said, !fitting.includes(answer)));
    }
    return grid;
  }

  function pictures(problem) {
    const box = make("div", "pictures");
    if (!problem.pictures.length) box.append(make("div", "none", "no picture: text only"));
    problem.pictures.forEach((key, index) => {
      const uri = Object.hasOwn(data.pictures, key) ? data.pictures[key] : "";
      if (!uri.startsWith("data:image/")) {
        box.append(make("div", "none", "picture not available"));
        return;
      }
      const image = make("img");
      image.src = uri;
      image.alt = "picture " + (index + 1) + " of " + problem.id;
      box.append(image);
    });
    return box;
  }

  function facts(problem) {
    const line = make("p", "facts");
    line.append(document.createTextNode("Gold answer "), make("b", "", problem.gold));
    const rest = [problem.family, problem.level ? "level " + problem.level : "", problem.id];
    line.append(document.createTextNode(" · " + rest.filter(Boolean).join(" · ")));
    for (const chip of [problem.bucket, problem.change]) if (chip) line.append(make("span", "chip", chip));
    return line;
  }

  function card(problem, said) {
    const article = make("article", "example");
    const body = make("div");
    body.append(make("p", "question", problem.question));
    if (problem.choices) {
      const list = make("ol", "options");
      problem.choices.forEach((choice, index) => {
        const name = index < 26 ? String.fromCharCode(65 + index) : String(index + 1);
        list.append(make("li", "", "(" + name + ") " + choice));
      });
      body.append(list);
    }
    body.append(facts(problem));
    let grid = answersOf(problem, said);
    body.append(grid);
    if (problem.answers.length > grid.childElementCount || opened.has(problem.id)) {
      const all = make("button", "all");
      all.type = "button";
      const name = () => (opened.has(problem.id) ? "Fewer" : "All " + problem.answers.length + " answers, stage by stage");
      all.textContent = name();
      all.addEventListener("click", () => {
        if (!opened.delete(problem.id)) opened.add(problem.id);
        const next = answersOf(problem, said);
        grid.replaceWith(next);
        grid = next;
        all.textContent = name();
      });
      body.append(all);
    }
    article.append(pictures(problem), body);
    return article;
  }

  function showMore() {
    const said = wanted();
    for (const problem of matching.slice(shown, shown + AT_ONCE)) cards.append(card(problem, said));
    shown = Math.min(matching.length, shown + AT_ONCE);
    more.hidden = shown >= matching.length;
  }

  function apply() {
    const said = wanted();
    matching = data.problems.filter((problem) => problemFits(problem, said));
    const answers = matching.reduce((n, p) => n + p.answers.filter((a) => answerFits(a, said)).length, 0);
    const count = (n, what) => n.toLocaleString("en") + " " + what + (n === 1 ? "" : "s");
    found.textContent = count(answers, "answer") + " to " + count(matching.length, "problem") + ".";
    cards.replaceChildren();
    shown = 0;
    showMore();
  }

  // The filters stand in the address, so that a page that loads itself again, or is sent to somebody, keeps them.
  function remember() {
    const said = new URLSearchParams();
    for (const [name, value] of Object.entries(wanted())) if (value) said.set(name, value === true ? "1" : value);
    history.replaceState(null, "", said.size ? "#" + said : location.pathname + location.search);
  }

  function recall() {
    const hash = location.hash.slice(1);
    if (hash && !hash.includes("=")) return; // a place on the page
    const said = new URLSearchParams(hash);
    for (const field of form.elements) {
      if (field.type === "checkbox") field.checked = said.has(field.name);
      else if (field.name) field.value = said.get(field.name) || "";
      if (field.selectedIndex === -1) field.value = "";
    }
  }

  const answers = data.problems.flatMap((problem) => problem.answers);
  for (const name of OF_PROBLEM) options(name, distinct(data.problems.map((problem) => problem[name])).sort());
  for (const name of OF_ANSWER) options(name, distinct(answers.map((answer) => answer[name])));
  options("mark", Object.keys(MARKS));
  recall();
  apply();
  let timer = 0;
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      apply();
      remember();
    }, 120);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", () => {
    recall();
    apply();
  });
  more.addEventListener("click", showMore);
})();
