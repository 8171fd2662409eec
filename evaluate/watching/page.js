// The page: which video, which classes, from which score on; the list of detections; the keys.
const byId = name => document.getElementById(name);
const about = JSON.parse(byId("about").textContent);
const video = byId("video");
const ROW = 40; // px, a detection in the list; as in page.css

const state = {
  film: null, bars: [], shown: [], chosen: null, least: about.least, hidden: new Set(), clock_s: 0, sources: [],
};

function make(tag, kind, text = "") {
  const node = document.createElement(tag);
  node.className = kind;
  node.textContent = text; // never markup: labels and names are anyone's
  return node;
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const colourOf = label => {
  const palette = dark.matches ? about.palette_dark : about.palette;
  return palette[label % palette.length];
};
const byName = (a, b) => about.classes[a].localeCompare(about.classes[b], "en", { numeric: true });
const strength = score => Math.min(1, Math.max(0, (score - about.lowest) / (about.best - about.lowest || 1)));
const now = () => (playable() ? video.currentTime : state.clock_s);
const playable = () => video.readyState > 0 && !video.error && !video.hidden;

const timeline = new Timeline(byId("timeline"), (time_s, bar) => {
  if (bar && bar.score !== null) choose(bar); else seek(bar ? bar.start_s : time_s);
});

// --- one video ---

function open(index) {
  const film = JSON.parse(byId(`film-${index}`).textContent);
  state.film = { ...film, index };
  const many = film.tracks.filter(track => !track.truth).length > 1;
  state.bars = film.tracks.flatMap((track, lane) => track.start_s.map((start_s, i) => {
    const [end_s, label] = [track.end_s[i], film.classes[track.label[i]]];
    const score = track.truth ? null : track.score[i];
    const name = about.classes[label];
    const told = `${name}  ${clock(start_s, 2)} – ${clock(end_s, 2)}` +
      (score === null ? "  truth" : `  score ${score.toFixed(3)}`) + (many && score !== null ? `  ${track.name}` : "");
    return { start_s, end_s, label, score, lane, name, told, track: many ? track.name : "" };
  }));
  Object.assign(state, { chosen: null, clock_s: 0, sources: [...film.sources] });
  timeline.zoom = 1;
  byId("choice").value = index;
  document.title = byId("name").textContent = film.name;
  byId("before").disabled = index === 0;
  byId("after").disabled = index === about.videos.length - 1;
  byId("timeline").setAttribute("aria-valuemax", film.duration_s.toFixed(2));
  byId("with-truth").hidden = !film.tracks.some(track => track.truth);
  video.setAttribute("aria-label", film.name);
  load(film.sources.length ? null : "There is no video file to play here.");
  classes();
  filter();
  tick();
}

// The next source, or word of why there is none.
function load(trouble) {
  const source = state.sources.shift();
  byId("trouble").hidden = source !== undefined;
  video.hidden = source === undefined;
  if (source !== undefined) { video.src = source; return; }
  video.removeAttribute("src");
  byId("why").textContent = trouble;
  byId("remedy").textContent = state.film.remedy;
  byId("convert").textContent = state.film.convert;
  byId("convert").hidden = byId("how").hidden = !state.film.convert;
}

const unplayable = () => load(`Your browser cannot play ${state.film.file}: it was moved, or it is in a format that ` +
  "browsers do not play (they play H.264, VP9 and AV1 in .mp4 or .webm).");
video.addEventListener("error", () => { if (video.getAttribute("src")) unplayable(); });
video.addEventListener("loadedmetadata", () => {
  if (!video.videoWidth) unplayable(); // its sound alone
  else if (state.clock_s) video.currentTime = state.clock_s; // asked for before the file was there
});
byId("file").addEventListener("change", event => {
  const [file] = event.target.files;
  if (!file) return;
  state.sources = [URL.createObjectURL(file)];
  load();
  event.target.value = "";
});

// --- what is shown ---

function classes() {
  const box = byId("classes");
  const labels = [...new Set(state.bars.map(bar => bar.label))].sort(byName);
  box.replaceChildren(...labels.map(label => {
    const line = make("label", "class");
    const tick = make("input", "");
    tick.type = "checkbox";
    tick.checked = !state.hidden.has(label);
    tick.addEventListener("change", () => {
      state.hidden[tick.checked ? "delete" : "add"](label);
      filter();
    });
    const chip = make("span", "chip");
    chip.style.background = colourOf(label);
    const count = make("span", "count");
    count.dataset.label = label;
    line.append(tick, chip, make("span", "", about.classes[label]), count);
    return line;
  }));
}

function every(on) {
  for (const bar of state.bars) state.hidden[on ? "delete" : "add"](bar.label);
  for (const tick of byId("classes").querySelectorAll("input")) tick.checked = on;
  filter();
}

function filter() {
  const seen = state.bars.filter(bar => !state.hidden.has(bar.label) && (bar.score === null || bar.score >= state.least));
  state.shown = seen.filter(bar => bar.score !== null).sort((a, b) => a.start_s - b.start_s || b.score - a.score);
  state.shown.forEach((bar, i) => { bar.place = i; });
  if (state.chosen && state.shown[state.chosen.place] !== state.chosen) state.chosen = null;
  const rows = new Map();
  for (const bar of [...seen].sort((a, b) => (a.score ?? Infinity) - (b.score ?? Infinity))) {
    if (!rows.has(bar.label)) rows.set(bar.label, { name: bar.name, colour: colourOf(bar.label), bars: [] });
    rows.get(bar.label).bars.push(bar);
  }
  const ordered = [...rows.keys()].sort(byName).map(label => rows.get(label));
  timeline.show(ordered, state.film.tracks.map(track => track.name), Math.max(0.01, state.film.duration_s),
    strength, state.chosen);
  const counts = new Map();
  for (const bar of state.shown) counts.set(bar.label, (counts.get(bar.label) || 0) + 1);
  for (const count of byId("classes").querySelectorAll(".count")) {
    count.textContent = counts.get(Number(count.dataset.label)) || 0;
  }
  const all = state.bars.filter(bar => bar.score !== null).length;
  byId("score").setAttribute("aria-valuetext", `at least ${state.least}`);
  byId("least").textContent = `≥ ${Number(state.least.toFixed(3))}`;
  byId("shown").textContent = `${state.shown.length.toLocaleString("en")} of ${all.toLocaleString("en")} detections`;
  byId("nothing").hidden = state.shown.length > 0;
  byId("space").style.height = `${state.shown.length * ROW}px`;
  list();
}

// Only the lines in view are in the document.
function list() {
  const box = byId("list");
  const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 4);
  const last = Math.min(state.shown.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + 4);
  const time_s = now();
  byId("space").replaceChildren(...state.shown.slice(first, last).map((bar, i) => {
    const line = make("div", "detection");
    line.id = `detection-${first + i}`;
    line.style.top = `${(first + i) * ROW}px`;
    line.setAttribute("role", "option");
    line.setAttribute("aria-selected", String(bar === state.chosen));
    line.setAttribute("aria-setsize", state.shown.length);
    line.setAttribute("aria-posinset", first + i + 1);
    line.classList.toggle("now", bar.start_s <= time_s && time_s < bar.end_s);
    const chip = make("span", "chip");
    chip.style.background = colourOf(bar.label);
    const words = make("span", "words", bar.name);
    if (bar.track) words.append(make("span", "run", bar.track));
    line.append(chip, words, make("span", "times", `${clock(bar.start_s, 1)} – ${clock(bar.end_s, 1)}`),
      make("span", "score", bar.score.toFixed(2)));
    return line;
  }));
  const here = state.chosen && byId(`detection-${state.chosen.place}`);
  if (here) box.setAttribute("aria-activedescendant", here.id); else box.removeAttribute("aria-activedescendant");
}

// --- where we are ---

function seek(time_s) {
  state.clock_s = Math.min(state.film.duration_s, Math.max(0, time_s));
  if (playable()) video.currentTime = state.clock_s;
  tick(state.clock_s);
}

function choose(bar) {
  state.chosen = timeline.chosen = bar;
  const box = byId("list");
  const top = bar.place * ROW;
  if (top < box.scrollTop || top + ROW > box.scrollTop + box.clientHeight) {
    box.scrollTop = top - box.clientHeight / 2;
  }
  byId("said").textContent = `${bar.told}, ${bar.place + 1} of ${state.shown.length}`;
  seek(bar.start_s);
  timeline.place(bar.start_s, true);
  timeline.redraw();
}

// From the chosen detection where we still are at it, else from the time that the cursor shows.
function step(by) {
  if (!state.shown.length) return;
  const time_s = now();
  let place;
  const at = state.chosen && Math.min(state.chosen.start_s, video.duration || Infinity);
  if (state.chosen && Math.abs(time_s - at) < 0.1) place = state.chosen.place + by;
  else if (by > 0) place = state.shown.findIndex(bar => (state.chosen ? bar.start_s > time_s : bar.start_s >= time_s));
  else place = state.shown.filter(bar => bar.start_s < time_s).length - 1;
  if (place < 0) place = by > 0 ? state.shown.length - 1 : 0;
  choose(state.shown[Math.min(place, state.shown.length - 1)]);
}

function tick(time_s = now()) {
  byId("timeline").setAttribute("aria-valuenow", time_s.toFixed(2));
  byId("timeline").setAttribute("aria-valuetext", clock(time_s, 1));
  byId("time").textContent = `${clock(time_s, 1)} / ${clock(state.film.duration_s, 1)}`;
  timeline.place(time_s, !video.paused);
  list();
}

function follow() { // the cursor alone moves between two pictures of the video
  timeline.place(video.currentTime, true);
  if (!video.paused) requestAnimationFrame(follow);
}

function play() {
  if (playable()) { if (video.paused) video.play().catch(() => {}); else video.pause(); }
}

// --- what leaves the page: a file, by the visitor's own hand ---

function exported() {
  const quoted = text => (/[",\r\n]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text);
  const many = state.shown.some(bar => bar.track);
  const lines = state.shown.map(bar => [
    quoted(state.film.name), bar.start_s, bar.end_s, quoted(bar.name), bar.score, ...(many ? [quoted(bar.track)] : []),
  ].join(","));
  return [["video-id", "t-start", "t-end", "label", "score", ...(many ? ["run"] : [])].join(","), ...lines, ""].join("\n");
}

byId("export").addEventListener("click", event => {
  URL.revokeObjectURL(event.currentTarget.href);
  event.currentTarget.href = URL.createObjectURL(new Blob([exported()], { type: "text/csv" }));
  event.currentTarget.download = `${state.film.name.split("/").pop()}.shown.csv`;
});

// --- hands ---

const KEYS = {
  " ": play, n: () => step(1), ArrowRight: () => step(1), p: () => step(-1), ArrowLeft: () => step(-1),
  Home: () => seek(0), End: () => seek(state.film.duration_s),
  PageUp: () => seek(now() - 10), PageDown: () => seek(now() + 10),
  "+": () => timeline.zoomBy(1.6, now()), "-": () => timeline.zoomBy(0.625, now()),
};
addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const at = event.target;
  const own = at.matches("select, input[type=range]") ? event.key !== " " && event.key.length > 1
    : at.matches("button, a, input, summary, .file") ? event.key === " " : false; // what the control itself does
  if (own || (at.matches("select") && event.key === " ")) return;
  const inList = at === byId("list") && state.shown.length ? {
    ArrowDown: () => step(1), ArrowUp: () => step(-1),
    Home: () => choose(state.shown[0]), End: () => choose(state.shown[state.shown.length - 1]),
  }[event.key] : null;
  const act = inList || KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}, true);

for (const [name, act] of Object.entries({
  closer: KEYS["+"], further: KEYS["-"], all: () => every(true), none: () => every(false),
  next: KEYS.n, previous: KEYS.p, before: () => open(state.film.index - 1), after: () => open(state.film.index + 1),
})) byId(name).addEventListener("click", act);
byId("score").addEventListener("input", event => { state.least = Number(event.target.value); filter(); });
byId("choice").addEventListener("change", event => open(Number(event.target.value)));
byId("list").addEventListener("scroll", () => list());
byId("list").addEventListener("click", event => { // by place: a line may be made anew between press and release
  const bar = state.shown[Math.floor((event.clientY - byId("space").getBoundingClientRect().top) / ROW)];
  if (bar) choose(bar);
});
video.addEventListener("play", follow);
for (const name of ["timeupdate", "seeked", "pause"]) video.addEventListener(name, () => tick());
// A paused Chromium drops the picture of a seek that follows another one closely. Asked to tell of pictures, it shows it.
video.addEventListener("seeked", () => video.requestVideoFrameCallback?.(() => {}));
dark.addEventListener("change", () => { classes(); filter(); });

byId("choice").replaceChildren(...about.videos.map((name, i) => {
  const one = make("option", "", name);
  one.value = i;
  return one;
}));
byId("films").hidden = about.videos.length < 2;
const asked = about.videos.indexOf(new URLSearchParams(location.hash.slice(1)).get("video"));
open(Math.max(0, asked));
