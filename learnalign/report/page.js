
"use strict";
// The theme, the colours of the scatter plot, copying, and the table of all prompts. Strings of the data become text nodes only.
(() => {
  const $ = (id) => document.getElementById(id);
  const PAGE = 50;

  // Control characters as their pictures, as the rest of the page has them.
  const visible = (text) => String(text).replace(/\r\n?/g, "\n").replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (c) => {
    const code = c.charCodeAt(0);
    return code < 32 ? String.fromCharCode(0x2400 + code) : code === 127 ? "\u2421" : "\ufffd";
  });

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children.map((child) => (typeof child === "string" ? visible(child) : child)));
    return element;
  }
  const own = (text) => make("bdi", {}, text);
  // As text.py's `number`.
  function number(value, digits = 3) {
    if (value === null || value === undefined) return "–";
    const rounded = Number(value.toPrecision(digits)), size = Math.abs(rounded);
    let text = size >= 10 ** digits ? Math.round(Math.abs(value)).toLocaleString("en") : String(size);
    if (size && size < 1e-4) {
      const [factor, power] = size.toExponential().split("e");
      text = (factor === "1" ? "" : factor + "·") + "10" + [...power].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("");
    }
    return (rounded < 0 ? "−" : "") + text;
  }
  const shortened = (text, most) => (text.length > most ? text.slice(0, most) + " …" : text);

  function startTheme() {
    const button = $("theme"), root = document.documentElement;
    let stored = null;
    try { stored = localStorage.getItem("learnalign-theme"); } catch { /* not kept where storage is refused */ }
    const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    const name = () => { button.textContent = dark() ? "Light theme" : "Dark theme"; };
    if (stored === "dark" || stored === "light") root.dataset.theme = stored;
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      try { localStorage.setItem("learnalign-theme", root.dataset.theme); } catch { /* see above */ }
      name();
    });
    button.hidden = false;
    name();
  }

  function startColours() {
    const choice = $("colour");
    choice?.addEventListener("change", () => {
      for (const legend of document.querySelectorAll("#scores .legend")) legend.hidden = legend.dataset.column !== choice.value;
      for (const dot of document.querySelectorAll("#scores circle[data-groups]")) {
        const picked = dot.classList.contains("picked") ? " picked" : "";
        dot.setAttribute("class", "s" + dot.dataset.groups.split(" ")[choice.value] + picked);
      }
    });
  }

  function startCopying() {
    for (const button of document.querySelectorAll(".copy")) {
      if (!navigator.clipboard) continue;
      button.hidden = false;
      button.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(button.previousElementSibling.textContent);
          button.textContent = "Copied";
        } catch { button.textContent = "Select it and press Ctrl+C"; }
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
      });
    }
  }

  async function unpack(id) {
    const bytes = Uint8Array.from(atob($(id).textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  }

  const meta = JSON.parse($("meta")?.textContent || "null");
  const rows = {};   // the index, column by column, one entry a prompt
  const details = new Map();  // blocks that were opened
  let order = [], page = 0, sorted = ["rank", 1];
  const opened = new Set();

  async function load() {
    for (let i = 0; i < meta.index; i++) {
      const part = await unpack("index-" + i);
      for (const [name, values] of Object.entries(part)) {
        if (name === "columns") rows.columns = values.map((own, k) => (rows.columns?.[k] || []).concat(own));
        else rows[name] = (rows[name] || []).concat(values);
      }
    }
    rows.text = rows.id.map((id, i) => [id, rows.question[i], rows.answer[i]].join("\n").toLowerCase());
  }

  async function detailOf(place) {
    const block = Math.floor(place / meta.detailed);
    if (!details.has(block)) details.set(block, unpack("details-" + block));
    return (await details.get(block))[place % meta.detailed];
  }

  const KINDS = {
    all: () => true,
    chosen: (i) => rows.chosen[i],
    rest: (i) => !rows.chosen[i],
    never: (i) => rows.p[i] === 0,
    some: (i) => rows.p[i] > 0 && rows.p[i] < 1,
    always: (i) => rows.p[i] === 1,
    unscored: (i) => rows.p[i] === null,
    cut: (i) => rows.cut[i] > 0,
  };

  function values(key) {
    if (!key.startsWith("columns.")) return rows[key];
    const k = Number(key.slice(8));
    return rows.columns[k].map((code) => meta.columns[k].groups[code]);
  }

  function choose() {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean), kind = KINDS[$("kind").value];
    const groups = meta.columns.map((_, k) => Number($("group-" + k).value));
    order = [];
    for (let i = 0; i < meta.prompts; i++) {
      if (kind(i) && groups.every((group, k) => group < 0 || rows.columns[k][i] === group) && words.every((word) => rows.text[i].includes(word))) order.push(i);
    }
    const [key, way] = sorted, column = values(key);
    const text = column.some((value) => typeof value === "string");
    const compare = text ? new Intl.Collator("en", { numeric: true }).compare : (a, b) => a - b;
    order.sort((a, b) => {
      const x = column[a], y = column[b];
      if (x === null || y === null) return (x === null) - (y === null) || a - b;  // those without a value come last
      return way * compare(x, y) || a - b;
    });
    page = 0;
    draw();
  }

  function draw() {
    const body = $("table").tBodies[0], pages = Math.max(1, Math.ceil(order.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    const part = order.slice(page * PAGE, (page + 1) * PAGE);
    body.replaceChildren(...part.map(row));
    for (const place of part) if (opened.has(place)) open(place);
    const shown = order.length === meta.prompts ? "" : " of " + meta.prompts.toLocaleString("en");
    $("count").textContent = `${order.length.toLocaleString("en")}${shown} prompts`;
    $("page").textContent = `page ${(page + 1).toLocaleString("en")} of ${pages.toLocaleString("en")}`;
    $("pager").hidden = pages === 1;
    for (const button of $("pager").querySelectorAll("button")) {
      button.disabled = ["first", "previous"].includes(button.dataset.page) ? page === 0 : page === pages - 1;
    }
    for (const head of $("table").tHead.rows[0].cells) {
      const key = head.querySelector("button").dataset.sort;
      if (key === sorted[0]) head.setAttribute("aria-sort", sorted[1] > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
  }

  function row(place) {
    const button = make("button", { type: "button", class: "open", "aria-expanded": "false" }, own(shortened(rows.question[place], 140) || "(empty)"));
    button.addEventListener("click", () => (opened.has(place) ? close(place) : open(place)));
    const rate = rows.p[place] === null ? "–" : `${number(rows.p[place])}`;
    const cells = [
      make("td", { class: "n" }, rows.rank[place] === null ? "–" : rows.rank[place].toLocaleString("en")),
      make("td", { class: "question" }, button),
      make("td", { class: "n", title: rows.scored[place] === null ? "" : `${rows.correct[place]} of ${rows.scored[place]} correct` }, rate),
      make("td", { class: "n" }, number(rows.score[place])),
      make("td", rows.chosen[place] ? { class: "yes" } : {}, rows.chosen[place] ? "yes" : ""),
      ...meta.columns.slice(0, 2).map((column, k) => make("td", {}, own(column.groups[rows.columns[k][place]]))),
    ];
    return make("tr", { id: "row-" + place, ...(rows.chosen[place] ? { class: "chosen" } : {}) }, ...cells);
  }

  function close(place) {
    opened.delete(place);
    $("row-" + place).querySelector("button").setAttribute("aria-expanded", "false");
    $("detail-" + place)?.remove();
  }

  async function open(place) {
    opened.add(place);
    const button = $("row-" + place).querySelector("button");
    button.setAttribute("aria-expanded", "true");
    button.setAttribute("aria-controls", "detail-" + place);
    const detail = await detailOf(place), line = $("row-" + place);
    if (!line || !opened.has(place) || $("detail-" + place)) return;
    const cell = make("td", { colspan: String(line.cells.length) }, make("div", { class: "inside" }, ...inside(place, detail)));
    line.after(make("tr", { id: "detail-" + place, class: "detail" }, cell));
  }

  function facts(entries) {
    const list = make("dl");
    for (const [name, value] of entries) {
      if (value !== null && value !== undefined) list.append(make("div", {}, make("dt", {}, name), make("dd", {}, value)));
    }
    return list;
  }

  function inside(place, detail) {
    const parts = detail.messages.flatMap(([role, content]) => [make("h4", {}, role), make("pre", {}, own(content))]);
    parts.push(make("p", {}, "Gold answer: ", own(detail.answer)));
    const score = rows.score[place], counts = rows.scored[place];
    parts.push(facts([
      ["id", rows.id[place]],
      ["row of the data", String(detail.row)],
      ["learnability V = p(1 − p)", rows.p[place] === null ? null : number(rows.p[place] * (1 - rows.p[place]))],
      ["alignment", detail.alignment === undefined || detail.alignment === null ? null : number(detail.alignment)],
      ["score", score === null ? null : number(score)],
      ["of the chosen's scores together", rows.chosen[place] && meta.total ? number(100 * score / meta.total, 2) + " %" : null],
      ["mean cosine with the chosen", detail.to_chosen === undefined || detail.to_chosen === null ? null : number(detail.to_chosen)],
      ["gradient norm", detail.norm === undefined || detail.norm === null ? null : number(detail.norm)],
      ["chosen again", rows.kept[place] === null ? null : Math.round(100 * rows.kept[place]) + " %"],
      ["not chosen because", rows.skipped[place]],
      ["tokens of its completions", detail.tokens ? detail.tokens.toLocaleString("en") : null],
    ]));
    const beside = make("div", { class: "two" });
    if (counts) beside.append(posterior(place));
    if (detail.nearest?.length) beside.append(nearest(detail.nearest));
    parts.push(beside, ...completions(place, detail));
    return parts;
  }

  // The density of Beta(correct + 1/2, scored − correct + 1/2), up to its factor.
  function posterior(place) {
    const correct = rows.correct[place], wrong = rows.scored[place] - correct;
    const svg = $("posterior").content.firstElementChild.cloneNode(true);
    const x = (p) => 10 + 220 * p;
    const points = Array.from({ length: 99 }, (_, i) => (i + 1) / 100);
    const logs = points.map((p) => (correct - 0.5) * Math.log(p) + (wrong - 0.5) * Math.log(1 - p));
    const highest = Math.max(...logs);
    svg.querySelector(".density").setAttribute("d", "M" + points.map((p, i) => `${x(p).toFixed(1)} ${(50 - 44 * Math.exp(logs[i] - highest)).toFixed(1)}`).join("L"));
    const [low, high] = [rows.low[place], rows.high[place]];
    svg.querySelector(".interval").setAttribute("x", x(low).toFixed(1));
    svg.querySelector(".interval").setAttribute("width", (x(high) - x(low)).toFixed(1));
    svg.querySelector(".rate").setAttribute("d", `M${x(rows.p[place]).toFixed(1)} 4V50`);
    const words = `${correct} of ${rows.scored[place]} correct; p is between ${number(low, 2)} and ${number(high, 2)} with 90 % probability`;
    svg.querySelector("title").textContent = words;
    return make("div", {}, make("h4", {}, "What the rollouts say of p"), svg, make("p", { class: "small" }, words));
  }

  function nearest(list) {
    const items = list.map(([other, cosine]) => {
      const button = make("button", { type: "button" }, own(shortened(rows.question[other], 80)));
      button.addEventListener("click", () => show(other));
      return make("li", {}, button, ` ${number(cosine, 2)}${rows.chosen[other] ? ", chosen" : ""}`);
    });
    const among = meta.candidates ? `, of the ${meta.candidates.toLocaleString("en")} best ranked` : "";
    return make("div", {}, make("h4", {}, "Gradients most aligned with this one (cosine)"), make("ol", {}, ...items), make("p", { class: "small" }, `Prompts that teach the same${among}.`));
  }

  function completions(place, detail) {
    if (!detail.completions.length) {
      const why = detail.stored ? `Its ${detail.stored} completions are left out of this page: learnalign show ${meta.run} --id ${rows.id[place]}` : "No completions are stored.";
      return [make("p", { class: "missing" }, why)];
    }
    const parts = [make("h4", {}, `${detail.completions.length} completions`)];
    const same = new Map();  // equal completions are shown once
    for (const each of detail.completions) same.set(JSON.stringify(each), (same.get(JSON.stringify(each)) || 0) + 1);
    for (const [each, count] of same) {
      const [text, reward, cut, answer, reason] = JSON.parse(each);
      const [kind, word] = reward === null ? ["none", "not scored"] : reward === 1 ? ["right", "correct"] : reward === 0 ? ["wrong", "wrong"] : ["none", "reward " + number(reward)];
      const line = make("p", { class: "verdict" }, make("strong", { class: kind }, word));
      if (count > 1) line.append(` × ${count}`);
      if (answer !== null && !reason?.includes(answer)) line.append(" · read ", own(answer));
      if (reason !== null && reason !== word) line.append(" · ", own(reason));
      if (cut) line.append(" · cut off");
      parts.push(line, make("pre", {}, own(text)));
    }
    return parts;
  }

  // Bring a prompt's row into view and open it, whatever is filtered now.
  function show(place) {
    if (!order.includes(place)) {
      $("filters").reset();
      choose();
    }
    page = Math.floor(order.indexOf(place) / PAGE);
    opened.add(place);
    draw();
    const button = $("row-" + place).querySelector("button");
    button.focus({ preventScroll: true });
    button.scrollIntoView({ block: "center" });
  }

  async function startTable() {
    if (!$("table")) return;  // a page of plots alone
    if (typeof DecompressionStream === "undefined") {
      $("count").textContent = "This browser cannot unpack the table (it has no DecompressionStream); a newer one can.";
      return;
    }
    await load();
    $("filters").hidden = false;
    let waiting = 0;
    $("filters").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(choose, 120); });
    $("filters").addEventListener("submit", (event) => { event.preventDefault(); choose(); });
    for (const button of $("table").tHead.querySelectorAll("button")) {
      button.addEventListener("click", () => {
        sorted = [button.dataset.sort, sorted[0] === button.dataset.sort ? -sorted[1] : 1];
        choose();
      });
    }
    $("pager").addEventListener("click", (event) => {
      const pages = Math.ceil(order.length / PAGE);
      page = { first: 0, previous: page - 1, next: page + 1, last: pages - 1 }[event.target.dataset.page] ?? page;
      draw();
    });
    document.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-place]");
      if (!link) return;
      event.preventDefault();
      show(Number(link.dataset.place));
    });
    choose();
  }

  startTheme();
  startColours();
  startCopying();
  startTable();
})();
