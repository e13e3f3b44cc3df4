// The page of src/report/live: runs a plan of kernels through WebGPU, checks them against stored words first, and plays
// a recorded run where there is no WebGPU. What is drawn, the task's own script says (`makeScene`).
"use strict";

// ---- Words ----

function wordsOf(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Uint32Array(bytes.buffer);
}
const floatsOf = (text) => new Float32Array(wordsOf(text).buffer);
const number = (x, digits = 0) =>
  x.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

// ---- WebGPU ----

// A dispatch's words lie this many bytes apart: the least that every device takes as a dynamic offset.
const STRIDE = 256;
const WORD_BYTES = 32;
const MOST_DISPATCHES = 4096;

class Engine {
  static async make(live) {
    if (!navigator.gpu) throw new Error("this browser has no WebGPU");
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) throw new Error("this browser's WebGPU has no adapter");
    return new Engine(live, adapter, await adapter.requestDevice());
  }

  constructor(live, adapter, device) {
    const info = adapter.info || {};
    this.name = info.description || [info.vendor, info.architecture].filter(Boolean).join(" ") || "a GPU";
    this.device = device;
    this.plan = live.plan;
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    this.buffers = this.plan.arrays.map((a) => {
      const buffer = device.createBuffer({ label: a.name, size: 4 * a.len, usage });
      if (a.data) device.queue.writeBuffer(buffer, 0, wordsOf(a.data));
      return buffer;
    });
    const uniform = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    this.uniforms = device.createBuffer({ size: STRIDE * MOST_DISPATCHES, usage: uniform });
    this.wordLayout = device.createBindGroupLayout({
      entries: [
        { binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: "uniform", hasDynamicOffset: true } },
      ],
    });
    this.words = device.createBindGroup({
      layout: this.wordLayout,
      entries: [{ binding: 0, resource: { buffer: this.uniforms, size: WORD_BYTES } }],
    });
    this.kernels = new Map();
    this.groups = new Map();
  }

  // Compiles what these dispatches need.
  async prepare(dispatches) {
    await Promise.all([...new Set(dispatches.map((d) => d.kernel))].map((k) => this.kernel(k)));
    for (const d of dispatches) {
      if (this.groups.has(d)) continue;
      const entries = d.arrays.map((a, binding) => ({ binding, resource: { buffer: this.buffers[a] } }));
      this.groups.set(d, this.device.createBindGroup({ layout: (await this.kernels.get(d.kernel)).layout, entries }));
    }
  }

  kernel(k) {
    if (!this.kernels.has(k)) this.kernels.set(k, this.compile(this.plan.kernels[k]));
    return this.kernels.get(k);
  }

  async compile(k) {
    const module = this.device.createShaderModule({ label: k.name, code: k.prelude + this.plan.texts[k.text] });
    const layout = this.device.createBindGroupLayout({
      label: k.name,
      entries: k.writes.map((writes, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: writes ? "storage" : "read-only-storage" },
      })),
    });
    const pipelineLayout = this.device.createPipelineLayout({ bindGroupLayouts: [layout, this.wordLayout] });
    const compute = { module, entryPoint: k.name };
    const pipeline = await this.device.createComputePipelineAsync({ label: k.name, layout: pipelineLayout, compute });
    return { layout, pipeline, name: k.name };
  }

  // Runs [{ clock, slot, dispatches }] in turn. `copies`: [{ behind, array, at }] says behind which run an array is
  // copied to word `at` of what comes back.
  async run(runs, copies) {
    const kernels = new Map();
    for (const k of this.kernels.keys()) kernels.set(k, await this.kernels.get(k));
    const encoder = this.device.createCommandEncoder();
    const words = new Uint32Array((STRIDE / 4) * runs.reduce((n, r) => n + r.dispatches.length, 0));
    const size = copies.reduce((n, c) => Math.max(n, c.at + c.len), 0);
    const back = this.device.createBuffer({
      size: 4 * size,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    const copy = (behind) => {
      for (const c of copies) {
        if (c.behind === behind) encoder.copyBufferToBuffer(this.buffers[c.array], 0, back, 4 * c.at, 4 * c.len);
      }
    };
    copy(-1);
    let n = 0;
    let pass = null;
    runs.forEach((r, i) => {
      pass = pass || encoder.beginComputePass();
      for (const d of r.dispatches) {
        d.words.forEach(([base, byClock, bySlot], w) => {
          words[(STRIDE / 4) * n + w] = base + Math.imul(byClock, r.clock) + Math.imul(bySlot, r.slot);
        });
        pass.setPipeline(kernels.get(d.kernel).pipeline);
        pass.setBindGroup(0, this.groups.get(d));
        pass.setBindGroup(1, this.words, [STRIDE * n]);
        pass.dispatchWorkgroups(...d.groups);
        n += 1;
      }
      if (copies.some((c) => c.behind === i)) {
        pass.end();
        pass = null;
        copy(i);
      }
    });
    if (pass) pass.end();
    this.device.queue.writeBuffer(this.uniforms, 0, words);
    this.device.queue.submit([encoder.finish()]);
    await back.mapAsync(GPUMapMode.READ);
    const got = back.getMappedRange().slice(0);
    back.destroy();
    return got;
  }

  write(array, at, words) {
    this.device.queue.writeBuffer(this.buffers[array], 4 * at, words);
  }
}

// ---- Checks ----

// What a check found: words compared and different, and of numbers with a tolerance the largest share of it.
async function check(engine, c) {
  await engine.prepare(c.runs.flatMap((r) => r.dispatches));
  const stored = (i) => wordsOf(engine.plan.stored[i]);
  for (const w of c.writes) engine.write(w.array, 0, stored(w.words));
  let at = 0;
  const expects = c.expects.map((e) => ({ ...e, want: stored(e.words) }));
  const copies = expects.map((e) => {
    const copy = { behind: c.runs.length - 1, array: e.array, at, len: e.want.length };
    at += copy.len;
    return copy;
  });
  const got = await engine.run(c.runs, copies);
  const found = { what: c.what, words: 0, differ: 0, numbers: 0, worst: 0 };
  expects.forEach((e, i) => {
    const bits = new Uint32Array(got, 4 * copies[i].at, copies[i].len);
    if (e.tolerance === null) {
      found.words += bits.length;
      for (let j = 0; j < bits.length; j++) found.differ += ((bits[j] ^ e.want[j]) & e.mask) !== 0;
      return;
    }
    const [mine, want, most] = [bits, e.want, stored(e.tolerance)].map(
      (w) => new Float32Array(w.buffer, w.byteOffset, w.length),
    );
    found.numbers += mine.length;
    for (let j = 0; j < mine.length; j++) {
      const share = Math.abs(mine[j] - want[j]) / most[j];
      found.worst = Math.max(found.worst, Number.isNaN(share) ? Infinity : share);
    }
  });
  return found;
}

// ---- The page ----

const $ = (id) => document.getElementById(id);

// A canvas in device pixels, whose drawing is in CSS pixels.
function fit(canvas, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [canvas.clientWidth, height || canvas.clientHeight];
  if (height) canvas.style.height = `${height}px`;
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
  }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, w, h);
  return [ctx, w, h];
}

function readTheme() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  const names = ["ink", "paper", "card", "line", "soft", "quiet", "accent", "ground", "road", "mark"];
  const theme = Object.fromEntries(names.map((n) => [n, of(n)]));
  theme.colours = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => of(`c${i}`));
  theme.font = getComputedStyle(document.body).fontFamily || "system-ui, sans-serif";
  return theme;
}

// Slots that the chart looks back.
const LOOK_BACK = 400;

class Page {
  constructor(live) {
    this.live = live;
    this.scene = makeScene(live.scene);
    this.theme = readTheme();
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.theme = readTheme();
      this.redraw();
    });
    window.addEventListener("resize", () => this.redraw());
    this.agent = live.first;
    this.program = live.agents[this.agent].first;
    this.values = Object.fromEntries(live.controls.map((c) => [c.id, c.values[c.first]]));
    this.playing = true;
    this.pace = "1";
    this.clock = 0;
    this.restart = true;
    this.curve = [];
    this.forget();
    this.view = null;
    this.found = [];
    this.form();
    this.scene.head($("table-head"));
    $("rate-label").textContent =
      `${live.curves[0].unit}: ${live.curves[0].label}, mean over ${number(live.envs)} ${live.noun}`;
    $("chart-caption").textContent =
      `Mean over ${number(live.envs)} ${live.noun} in each of the last ${LOOK_BACK} slots; ` +
      `an episode has ${live.slots}.`;
  }

  get driver() {
    return this.live.agents[this.agent];
  }

  // ---- What can be changed ----

  form() {
    const { live } = this;
    live.controls.forEach((c) => {
      this.slider(
        c.id,
        c.label,
        c.about,
        c.values,
        c.first,
        (v) => `${number(v, v % 1 ? 1 : 0)} ${c.unit}`,
        (i) => this.set(c, i),
      );
    });
    const spiking = live.agents.find((a) => a.programs.length > 1);
    if (spiking) {
      const steps = spiking.programs.map((p) => p.steps);
      const about = `trained with ${steps[spiking.first]}; fewer are cheaper`;
      this.slider(
        "steps",
        "spike steps S",
        about,
        steps,
        spiking.first,
        (v) => `${v}`,
        (i) => this.drive(this.agent, i),
      );
    }
    live.agents.forEach((a, i) => {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), {
        type: "radio",
        name: "agent",
        value: a.id,
        checked: i === this.agent,
      });
      input.addEventListener("change", () => this.drive(i, live.agents[i].programs.length > 1 ? this.stepsAt() : 0));
      const text = document.createElement("span");
      text.append(a.id, Object.assign(document.createElement("small"), { textContent: a.about }));
      label.append(input, text);
      $("agents").append(label);
    });
    $("play").addEventListener("click", () => {
      this.playing = !this.playing;
      $("play").textContent = this.playing ? "Pause" : "Play";
      $("play").setAttribute("aria-pressed", this.playing);
    });
    $("again").addEventListener("click", () => (this.restart = true));
    document
      .querySelectorAll("[name=pace]")
      .forEach((r) => r.addEventListener("change", () => (this.pace = r.value)));
    this.showSteps();
  }

  slider(id, label, about, values, first, text, change) {
    const box = Object.assign(document.createElement("div"), { className: "slider", id: `slider-${id}` });
    const top = document.createElement("div");
    const name = Object.assign(document.createElement("label"), { htmlFor: `set-${id}` });
    name.append(label, " ", Object.assign(document.createElement("small"), { textContent: about }));
    const out = Object.assign(document.createElement("output"), { textContent: text(values[first]) });
    out.htmlFor = `set-${id}`;
    const input = Object.assign(document.createElement("input"), {
      type: "range",
      id: `set-${id}`,
      min: 0,
      max: values.length - 1,
      step: 1,
      value: first,
    });
    input.setAttribute("aria-valuetext", text(values[first]));
    input.addEventListener("input", () => {
      out.textContent = text(values[input.value]);
      input.setAttribute("aria-valuetext", out.textContent);
      change(Number(input.value));
    });
    top.append(name, out);
    box.append(top, input);
    $("sliders").append(box);
  }

  stepsAt() {
    return Number($("set-steps").value);
  }

  // The number of spike steps is one of an agent that spikes.
  showSteps() {
    const slider = $("set-steps");
    if (!slider) return;
    slider.disabled = this.driver.programs.length === 1 || document.body.dataset.state === "replay";
    $("slider-steps").classList.toggle("off", slider.disabled);
  }

  set(control, i) {
    this.values[control.id] = control.values[i];
    this.forget();
    if (!this.engine) return;
    // What this slider changed before, as it was; then what it changes now.
    const base = wordsOf(this.live.plan.arrays[control.array].data);
    for (const words of [
      control.words[this.last?.[control.id] ?? control.first].map(([at]) => [at, base[at]]),
      control.words[i],
    ]) {
      for (const [at, word] of words) this.engine.write(control.array, at, new Uint32Array([word]));
    }
    this.last = { ...this.last, [control.id]: i };
    if (control.restarts) this.restart = true;
  }

  async drive(agent, program) {
    [this.agent, this.program] = [agent, program];
    this.showSteps();
    this.forget();
    this.restart = true;
  }

  // Means begin anew; what is being computed still belongs to before.
  forget() {
    this.age = (this.age || 0) + 1;
    document.body.dataset.slots = 0;
    this.since = { slots: 0, sums: this.live.curves.map(() => 0) };
  }

  // ---- What is shown ----

  status(state, text) {
    document.body.dataset.state = state;
    $("status-text").textContent = text;
    // While kernels are checked, nothing may change what they are given.
    document.querySelectorAll("#sliders input, #agents input").forEach((x) => (x.disabled = state !== "running"));
    this.showSteps();
  }

  told(found) {
    this.found.push(found);
    const sum = (f) => this.found.reduce((n, x) => n + f(x), 0);
    const [words, differ, numbers] = [sum((x) => x.words), sum((x) => x.differ), sum((x) => x.numbers)];
    const worst = Math.max(...this.found.map((x) => x.worst));
    const text = $("check");
    const head = Object.assign(document.createElement("strong"), {
      textContent: `${number(differ)} of ${number(words)} words differ`,
    });
    text.replaceChildren(head, " from the CPU twin");
    const parts = new Map();
    for (const x of this.found) {
      const p = parts.get(x.what) || [0, 0];
      parts.set(x.what, [p[0] + x.differ, p[1] + x.words]);
    }
    const each = [...parts].filter((p) => p[1][1]).map(([what, [d, n]]) => `${number(d)} of ${number(n)} in ${what}`);
    if (each.length > 1) text.append(`: ${each.join(", ")}`);
    text.append(".");
    if (numbers) {
      const most =
        worst > 1
          ? "one is outside of its tolerance"
          : `the largest error is ${number(100 * worst, 0)} % of its tolerance`;
      text.append(` Of ${number(numbers)} actions ${most}.`);
    }
    text.classList.toggle("off", differ > 0 || worst > 1);
    Object.assign(text.dataset, { words, differ, numbers, worst });
  }

  // Means of slots [[curve, …], …] that were begun at this age.
  means(slots, age = this.age) {
    if (age !== this.age) return;
    for (const m of slots) {
      this.curve.push(m);
      m.forEach((x, i) => (this.since.sums[i] += x));
    }
    this.since.slots += slots.length;
    this.curve.splice(0, Math.max(0, this.curve.length - LOOK_BACK));
    const [mine, bound] = this.since.sums.map((s) => s / this.since.slots);
    $("rate").textContent = number(mine, 2);
    $("rate").dataset.value = mine;
    document.body.dataset.slots = this.since.slots;
    $("share").textContent = bound ? `${number((100 * mine) / bound, 1)} %` : "–";
  }

  redraw() {
    if (this.view) this.show(this.view);
  }

  show(view) {
    this.view = view;
    const canvas = $("scene");
    const [ctx, w, h] = fit(canvas, this.scene.height(canvas.clientWidth));
    this.scene.draw(ctx, w, h, view, this.theme, this.values);
    $("scene-caption").textContent = this.scene.caption(view, this.live);
    this.scene.table($("table"), view, this.theme);
    this.chart();
    this.raster(view.spikes);
  }

  chart() {
    const [ctx, w, h] = fit($("chart"));
    const { theme, curve } = this;
    ctx.font = `12px ${theme.font}`;
    if (curve.length < 2) return;
    const most = Math.max(...curve.map((m) => Math.max(...m)), 1e-9);
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50].find((s) => most / s <= 4) || most / 4;
    const top = step * Math.ceil((1.02 * most) / step);
    const [left, right, low] = [30, 6, h - 26];
    const x = (i) => left + ((w - left - right) * (LOOK_BACK - curve.length + i)) / (LOOK_BACK - 1);
    const y = (v) => 8 + (low - 8) * (1 - v / top);
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    for (let v = 0; v <= top + 1e-9; v += step) {
      ctx.fillStyle = theme.line;
      ctx.fillRect(left, Math.round(y(v)), w - left - right, 1);
      ctx.fillStyle = theme.quiet;
      ctx.fillText(number(v, step < 1 ? 1 : 0), left - 6, y(v));
    }
    const styles = [
      [theme.accent, 2, []],
      [theme.quiet, 1.5, [5, 4]],
    ];
    this.live.curves.forEach((c, n) => {
      const [colour, width, dash] = styles[n % styles.length];
      ctx.strokeStyle = colour;
      ctx.lineWidth = width;
      ctx.setLineDash(dash);
      ctx.beginPath();
      curve.forEach((m, i) => ctx.lineTo(x(i), y(m[n])));
      ctx.stroke();
    });
    ctx.setLineDash([]);
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    let at = left;
    this.live.curves.forEach((c, n) => {
      const [colour, width, dash] = styles[n % styles.length];
      ctx.strokeStyle = colour;
      ctx.lineWidth = width;
      ctx.setLineDash(dash);
      ctx.beginPath();
      ctx.moveTo(at, h - 8);
      ctx.lineTo(at + 20, h - 8);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.fillStyle = theme.ink;
      const text = n === 0 ? `${c.label}, ${c.unit}` : c.label;
      ctx.fillText(text, at + 26, h - 4);
      at += 26 + ctx.measureText(text).width + 16;
    });
  }

  // Which neurons fired at which step of the last decision.
  raster(spikes) {
    $("raster-box").hidden = !spikes;
    if (!spikes) return;
    const [ctx, w, h] = fit($("raster"));
    const { words, steps } = spikes;
    const [dx, dy] = [w / words.length, h / steps];
    let fired = 0;
    for (let t = 0; t < steps; t++) {
      ctx.fillStyle = this.theme.soft;
      ctx.fillRect(0, t * dy, w, Math.max(1, dy - 1));
      ctx.fillStyle = this.theme.accent;
      for (let n = 0; n < words.length; n++) {
        if (!((words[n] >>> t) & 1)) continue;
        fired += 1;
        ctx.fillRect(n * dx, t * dy, Math.max(1, dx - 0.5), Math.max(1, dy - 1));
      }
    }
    const share = number((100 * fired) / (steps * words.length), 1);
    $("raster-caption").textContent =
      `Spikes of its ${words.length} hidden neurons (left to right) at ${steps} steps (down): ${share} % fire.`;
  }

  // ---- Running ----

  async start() {
    try {
      this.engine = await Engine.make(this.live);
      const { device } = this.engine;
      device.lost.then((why) => this.replay(`the GPU was lost (${why.message || why.reason})`));
      device.addEventListener("uncapturederror", (e) => console.error(e.error.message));
      this.status("starting", `Checking kernels on ${this.engine.name} …`);
      this.told(await check(this.engine, this.live.check));
      await this.ready();
    } catch (e) {
      this.replay(e.message);
      return;
    }
    this.status("running", `Running on ${this.engine.name}, through WebGPU`);
    this.loop().catch((e) => this.replay(e.message));
  }

  // The program that is to run, checked if it has not been.
  async ready() {
    const program = this.driver.programs[this.program];
    if (program.ready) return program;
    const text = $("status-text").textContent;
    $("status-text").textContent = "Compiling and checking kernels …";
    if (program.check) this.told(await check(this.engine, program.check));
    await this.engine.prepare([...this.live.reset, ...program.slot]);
    program.ready = true;
    $("status-text").textContent = text;
    // The check left its own observations.
    this.restart = true;
    return program;
  }

  async loop() {
    let [due, many, last] = [1, 8, performance.now()];
    let counted = { slots: 0, from: last };
    for (;;) {
      await new Promise((next) => requestAnimationFrame(next));
      if (!this.engine) return;
      const now = performance.now();
      const passed = Math.min(now - last, 250) / 1e3;
      last = now;
      if (!this.playing && !this.restart) {
        counted = { slots: 0, from: now };
        continue;
      }
      due += this.pace === "all" ? many : (Number(this.pace) * passed) / this.live.slot_s;
      const slots = Math.min(Math.floor(due), this.most());
      if (slots < 1) continue;
      due = Math.min(due - slots, 1);
      const program = await this.ready();
      // Somebody may have chosen another one meanwhile.
      if (program !== this.driver.programs[this.program]) continue;
      await this.advance(program, slots);
      const took = performance.now() - now;
      // As many as keep some thirty pictures a second.
      many = Math.max(1, Math.min(this.most(), Math.round((many * 30) / Math.max(took, 1))));
      counted.slots += slots;
      const span = (performance.now() - counted.from) / 1e3;
      if (span > 0.5) {
        const rate = (counted.slots * this.live.envs) / span;
        $("pace-rate").textContent = number(Number(rate.toPrecision(3)));
        $("pace-rate").dataset.value = rate;
        counted = { slots: 0, from: performance.now() };
      }
    }
  }

  most() {
    const each = this.driver.programs[this.program].slot.length;
    return Math.min(64, Math.floor((MOST_DISPATCHES - 8) / each));
  }

  // So many slots, and a picture of the last one that does not end an episode.
  async advance(program, slots) {
    const { live, age } = this;
    const runs = [];
    if (this.restart) {
      this.restart = false;
      this.clock = live.slots * Math.ceil(this.clock / live.slots);
      runs.push({ clock: this.clock, slot: 0, dispatches: live.reset });
    }
    const first = runs.length;
    for (let slot = 0; slot < slots; slot++) runs.push({ clock: this.clock + slot, slot, dispatches: program.slot });
    let drawn = runs.length - 1;
    if (drawn > first && (runs[drawn].clock + 1) % live.slots === 0) drawn -= 1;
    const { seen, envs, rows } = live;
    const actions = this.driver.scene.actions;
    const sizes = {
      before: seen.state_rows * envs,
      after: seen.state_rows * envs,
      action: actions,
      metrics: rows * envs,
      sums: 2 * rows * slots,
    };
    const spikes = this.driver.spikes || [];
    spikes.forEach(([, n], i) => (sizes[`spikes${i}`] = n));
    const at = {};
    let size = 0;
    for (const [name, len] of Object.entries(sizes)) {
      at[name] = size;
      size += len;
    }
    const copy = (name, array, behind) => ({ behind, array, at: at[name], len: sizes[name] });
    const copies = [
      copy("before", seen.state, drawn - 1),
      copy("after", seen.state, drawn),
      copy("action", seen.action, drawn),
      copy("metrics", seen.metrics, drawn),
      copy("sums", live.sums, runs.length - 1),
      ...spikes.map(([array], i) => copy(`spikes${i}`, array, drawn)),
    ];
    const got = await this.engine.run(runs, copies);
    const floats = new Float32Array(got);
    // Environment 0 of arrays [rows, B].
    const row = (name) => (q) => floats[at[name] + q * envs];
    const ends = (runs[drawn].clock + 1) % live.slots === 0;
    this.clock += slots;
    const sums = floats.subarray(at.sums, at.sums + sizes.sums);
    const mean = (slot) => live.curves.map((c) => sums[2 * (slot * rows + c.row)] / envs);
    this.means(
      Array.from({ length: slots }, (_, slot) => mean(slot)),
      age,
    );
    if (ends) return;
    const view = this.scene.view(
      this.driver.scene,
      row("before"),
      row("after"),
      (i) => floats[at.action + i],
      row("metrics"),
    );
    view.slot = runs[drawn].clock % live.slots;
    if (spikes.length) {
      const words = new Uint32Array(
        got,
        4 * at.spikes0,
        spikes.reduce((n, [, len]) => n + len, 0),
      );
      view.spikes = { words, steps: program.steps };
    }
    this.show(view);
  }

  // The recorded run, where nothing can be computed.
  replay(why) {
    if (document.body.dataset.state === "replay") return;
    this.engine = null;
    document.querySelector("[name=pace][value=all]").disabled = true;
    if (this.pace === "all") document.querySelector("[name=pace][value='1']").click();
    const text = why.charAt(0).toUpperCase() + why.slice(1);
    this.status("replay", `${text}: what plays is a recorded run of ${this.live.recorded.agent}`);
    if (!this.found.length)
      $("check").textContent = "Nothing is computed here, so nothing is checked: what plays was recorded on a CPU.";
    $("pace-rate").textContent = "–";
    const { recorded, seen, rows, curves } = this.live;
    this.agent = this.live.agents.findIndex((a) => a.id === recorded.agent);
    document.querySelectorAll("[name=agent]")[this.agent].checked = true;
    const { driver } = this;
    const [states, actions, metrics, means] = ["states", "actions", "metrics", "means"].map((x) =>
      floatsOf(recorded[x]),
    );
    [this.curve, this.view] = [[], null];
    this.forget();
    let [slot, due, last] = [0, 1, performance.now()];
    const tick = () => {
      const now = performance.now();
      const passed = Math.min(now - last, 250) / 1e3;
      last = now;
      if (this.restart && slot % this.live.slots) slot = this.live.slots * Math.floor(slot / this.live.slots);
      this.restart = false;
      if (this.playing) due += (Number(this.pace) * passed) / this.live.slot_s;
      for (; due >= 1; due -= 1) {
        this.means([curves.map((_, i) => means[slot * curves.length + i])]);
        if ((slot + 1) % this.live.slots !== 0) {
          const from = (array, row) => (q) => array[row + q];
          const view = this.scene.view(
            driver.scene,
            from(states, slot * seen.state_rows),
            from(states, (slot + 1) * seen.state_rows),
            from(actions, slot * driver.scene.actions),
            from(metrics, slot * rows),
          );
          view.slot = slot % this.live.slots;
          this.show(view);
        }
        slot = (slot + 1) % recorded.slots;
      }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }
}

new Page(JSON.parse($("data").textContent)).start();
