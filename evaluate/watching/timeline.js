// The timeline under a video: a row for each class, a lane in it for truth and for each run, a cursor.
// Only what is in view is drawn, so that thousands of detections of an hour cost no more than a few.
class Timeline {
  static AXIS = 22; // px, above the rows
  static NAME = 17; // px, the line that names a class
  static LANE = 13;
  static GAP = 5;
  static CLOSEST = 2; // s; the shortest stretch that fills the width

  constructor(frame, seek) {
    this.frame = frame;
    this.scroll = frame.querySelector(".scroll");
    this.space = frame.querySelector(".space");
    this.canvas = frame.querySelector("canvas");
    this.cursor = frame.querySelector(".cursor");
    this.tip = frame.querySelector(".tip");
    this.rows = [];
    this.lanes = [];
    this.duration_s = 1;
    this.chosen = null;
    this.time_s = 0;
    this.zoom = 1;
    this.waiting = false;
    this.scroll.addEventListener("scroll", () => { this.redraw(); this.place(this.time_s); });
    new ResizeObserver(() => this.resize()).observe(this.scroll);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    this.scroll.addEventListener("click", event => seek(this.timeAt(event), this.barAt(event)));
    this.scroll.addEventListener("pointermove", event => this.tell(event));
    this.scroll.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    this.scroll.addEventListener("wheel", event => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoomBy(event.deltaY < 0 ? 1.25 : 0.8, this.timeAt(event));
    }, { passive: false });
  }

  // rows: [{name, colour, bars: [{start_s, end_s, score, lane, ...}]}], bars from the lowest score to the best.
  show(rows, lanes, duration_s, strength, chosen) {
    Object.assign(this, { rows, lanes, duration_s, strength, chosen });
    this.resize();
  }

  get gutter() {
    if (this.lanes.length < 2) return 0;
    return Math.min(0.3 * this.scroll.clientWidth, 12 + Math.max(...this.lanes.map(name => 6.2 * name.length)));
  }
  get height() { return Timeline.NAME + Timeline.LANE * Math.max(1, this.lanes.length) + Timeline.GAP; }
  get width() { return this.scroll.clientWidth * this.zoom - this.gutter - 12; }

  // Seconds to pixels of what is in view, and back.
  x(time_s) { return this.gutter + 6 + this.width * time_s / this.duration_s - this.scroll.scrollLeft; }
  timeAt(event) {
    const x = event.clientX - this.scroll.getBoundingClientRect().left;
    const time_s = (x - this.gutter - 6 + this.scroll.scrollLeft) / this.width * this.duration_s;
    return Math.min(this.duration_s, Math.max(0, time_s));
  }

  barAt(event) {
    const y = event.clientY - this.scroll.getBoundingClientRect().top + this.scroll.scrollTop - Timeline.AXIS;
    const row = this.rows[Math.floor(y / this.height)];
    if (!row || y < 0) return null;
    const below = y % this.height - Timeline.NAME;
    const slack_s = 3 / this.width * this.duration_s; // what is a pixel wide can still be met
    const time_s = this.timeAt(event);
    let best = null;
    for (const bar of row.bars) { // the best comes last, as it is drawn last
      const top = bar.lane * Timeline.LANE;
      if (below < top - (bar.lane ? 0 : Timeline.NAME) || below >= top + Timeline.LANE) continue;
      if (bar.start_s - slack_s <= time_s && time_s <= bar.end_s + slack_s) best = bar;
    }
    return best;
  }

  tell(event) {
    const bar = event.pointerType === "touch" ? null : this.barAt(event);
    this.tip.hidden = !bar;
    this.scroll.style.cursor = bar ? "pointer" : "";
    if (!bar) return;
    this.tip.textContent = bar.told;
    const box = this.frame.getBoundingClientRect();
    const left = Math.min(event.clientX - box.left + 12, box.width - this.tip.offsetWidth - 4);
    this.tip.style.transform = `translate(${Math.max(4, left)}px, ${event.clientY - box.top + 16}px)`;
  }

  zoomBy(factor, time_s) {
    const before = this.x(time_s);
    this.zoom = Math.min(Math.max(1, this.duration_s / Timeline.CLOSEST), Math.max(1, this.zoom * factor));
    this.resize();
    this.scroll.scrollLeft += this.x(time_s) - before;
    this.place(this.time_s);
  }

  // Moves the cursor; while the video plays, the view follows it.
  place(time_s, follow = false) {
    this.time_s = time_s;
    let x = this.x(time_s);
    if (follow && (x < this.gutter || x > this.scroll.clientWidth)) {
      this.scroll.scrollLeft += x - this.gutter - 0.15 * this.scroll.clientWidth;
      x = this.x(time_s);
    }
    this.cursor.style.transform = `translateX(${x}px)`;
    this.cursor.style.visibility = x < this.gutter - 1 || x > this.scroll.clientWidth ? "hidden" : "";
  }

  resize() {
    this.space.style.width = `${this.scroll.clientWidth * this.zoom}px`;
    const height = Timeline.AXIS + Math.max(1, this.rows.length) * this.height;
    this.space.style.height = `${height}px`;
    const room = Math.max(180, Math.min(420, 0.45 * innerHeight));
    this.scroll.style.height = `${Math.min(room, height) + this.scroll.offsetHeight - this.scroll.clientHeight}px`;
    this.redraw();
    this.place(this.time_s);
  }

  redraw() { // once for each picture that the screen shows
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.draw(); });
  }

  draw() {
    const [width, height] = [this.scroll.clientWidth, this.scroll.clientHeight];
    const ratio = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
    }
    const style = getComputedStyle(this.frame);
    const ink = name => style.getPropertyValue(name).trim();
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const first = Math.max(0, Math.floor((this.scroll.scrollTop - Timeline.AXIS) / this.height));
    for (let i = first; i < this.rows.length; i++) {
      const top = Timeline.AXIS + i * this.height - this.scroll.scrollTop;
      if (top > height) break;
      this.drawRow(pen, this.rows[i], top, width, style.fontFamily, ink);
    }
    this.drawAxis(pen, width, style.fontFamily, ink);
  }

  drawRow(pen, row, top, width, font, ink) {
    pen.fillStyle = ink("--rule");
    pen.fillRect(0, top, width, 1);
    pen.fillStyle = ink("--ink");
    pen.font = `600 12px ${font}`;
    pen.fillText(row.name, 6, top + 13);
    const [left, right] = [this.gutter, width];
    const height = Timeline.LANE - 2;
    let box = null;
    for (const bar of row.bars) {
      const [from, to] = [this.x(bar.start_s), this.x(bar.end_s)];
      if (to < left || from > right) continue;
      const x = Math.max(left, from);
      const y = top + Timeline.NAME + bar.lane * Timeline.LANE;
      const w = Math.max(1.5, Math.min(right, to) - x);
      pen.globalAlpha = bar.score === null ? 1 : 0.35 + 0.65 * this.strength(bar.score);
      pen.fillStyle = bar.score === null ? ink("--truth") : row.colour;
      pen.fillRect(x, y, w, height);
      pen.globalAlpha = 1;
      if (bar === this.chosen) box = [x - 1, y - 1, w + 2, height + 2];
    }
    if (box) { // over its neighbours
      pen.strokeStyle = ink("--ink");
      pen.lineWidth = 2;
      pen.strokeRect(...box);
    }
    if (!this.gutter) return;
    pen.fillStyle = ink("--soft");
    pen.font = `11px ${font}`;
    this.lanes.forEach((name, i) => {
      pen.fillText(name, 6, top + Timeline.NAME + i * Timeline.LANE + 9.5, this.gutter - 10);
    });
  }

  drawAxis(pen, width, font, ink) {
    pen.fillStyle = ink("--card");
    pen.fillRect(0, 0, width, Timeline.AXIS - 1);
    pen.fillStyle = ink("--soft");
    pen.font = `11px ${font}`;
    pen.textAlign = "center";
    const step = Timeline.step(70 / this.width * this.duration_s);
    for (let k = 0; k * step <= this.duration_s + 1e-6; k++) {
      const x = this.x(k * step);
      if (x < this.gutter || x > width) continue;
      pen.fillRect(x, Timeline.AXIS - 6, 1, 5);
      const text = clock(k * step, step < 1 ? 1 : 0);
      const half = pen.measureText(text).width / 2;
      pen.fillText(text, Math.min(width - half - 2, Math.max(half + 2, x)), 12);
    }
    pen.textAlign = "start";
  }

  // A round number of seconds of at least this many.
  static step(least_s) {
    return [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].find(s => s >= least_s) ||
      3600 * Math.ceil(least_s / 3600);
  }
}

// 3725.5 -> "1:02:05"; with digits behind the point where asked for.
function clock(time_s, digits = 0) {
  const unit = 10 ** digits;
  const all = Math.round(time_s * unit) / unit;
  const [hours, minutes] = [Math.floor(all / 3600), Math.floor(all / 60) % 60];
  const seconds = (all % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${seconds}` : `${minutes}:${seconds}`;
}
