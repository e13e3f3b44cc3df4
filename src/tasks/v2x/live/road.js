// The road of task v2x: a unit at the origin, vehicles that drive by, and beams as their array makes them.
"use strict";

function makeScene(of) {
  const K = of.vehicles;
  // Rows of the state, K each: see `State` of src/tasks/v2x/physics/state.rs.
  const [THETA, D, V, SEEN_THETA, SEEN_D] = [0, 1, 2, 3, 4].map((q) => q * K);
  const degrees = (rad) => (rad * 180) / Math.PI;
  const text = (x, digits) => x.toFixed(digits);

  // |D| of an array of N elements half a wavelength apart, for a difference of two cosines.
  function response(delta) {
    const s = Math.sin((Math.PI * delta) / 2);
    if (Math.abs(s) < 1e-6) return 1;
    return Math.abs(Math.sin((Math.PI * of.antennas * delta) / 2) / (of.antennas * s));
  }

  // What is drawn of a slot: the truth after it, the beams that were sent, the echo that came back.
  function view(driver, before, after, action, metrics) {
    const angle = {
      angles: (i) => Math.PI / (1 + Math.exp(-action(i))),
      tracking: (i) => before(SEEN_THETA + i) + of.delta * Math.tanh(action(i)),
      physical: (i) => action(i),
    }[driver.beam];
    const last = driver.actions - K;
    const power = Array.from({ length: K }, (_, i) =>
      driver.beam === "physical" ? action(last + i) : Math.exp(action(last + i)),
    );
    const all = power.reduce((a, b) => a + b, 0);
    const vehicles = Array.from({ length: K }, (_, i) => ({
      theta: after(THETA + i),
      d: after(D + i),
      v: after(V + i),
      seen: [after(SEEN_THETA + i), after(SEEN_D + i)],
      phi: angle(i),
      share: power[i] / all,
      rate: metrics(of.rate_row + i),
    }));
    return { vehicles };
  }

  // Metres to the left and right that are shown at this speed.
  function span(values) {
    const xs = of.starts.map((p) => p[0]);
    const far = (values.speed + 2) * of.slots * of.slot_s;
    return [Math.min(...xs) - 5, Math.max(...xs) + far + 5];
  }

  const road = of.starts[0][1];
  const [BELOW, ABOVE] = [2.6, 5.8];

  // A narrow picture shows the part of the road where vehicles and unit are, and glides along with them.
  const camera = { lo: null, hi: null };
  function seen(w, shown, values) {
    const whole = span(values);
    if (w >= 700) return whole;
    const xs = [0, ...shown.vehicles.map((v) => -v.d * Math.cos(v.theta))];
    const want = [Math.min(...xs) - 4, Math.max(...xs) + 4];
    if (camera.lo === null) [camera.lo, camera.hi] = want;
    // Whatever comes is seen at once; what is gone is let go slowly.
    camera.lo = Math.min(want[0], camera.lo + 0.05 * (want[0] - camera.lo));
    camera.hi = Math.max(want[1], camera.hi + 0.05 * (want[1] - camera.hi));
    return [camera.lo, camera.hi];
  }

  function draw(ctx, w, h, shown, theme, values) {
    const [lo, hi] = seen(w, shown, values);
    const scale = Math.min(w / (hi - lo), h / (road + BELOW + ABOVE));
    const mid = (lo + hi) / 2;
    const X = (x) => w / 2 + (x - mid) * scale;
    // What is left of the height goes above and below.
    const spare = h - (road + BELOW + ABOVE) * scale;
    const Y = (y) => h - 0.4 * spare - (y + BELOW) * scale;
    const at = (theta, d) => [X(-d * Math.cos(theta)), Y(d * Math.sin(theta))];

    ctx.fillStyle = theme.ground;
    ctx.fillRect(0, 0, w, h);
    ctx.fillStyle = theme.road;
    ctx.fillRect(0, Y(road + 2.6), w, 5.2 * scale);
    ctx.fillStyle = theme.mark;
    for (const y of [road + 2.2, road - 2.2]) {
      for (let x = Math.floor((mid - w / scale) / 6) * 6; x < mid + w / scale; x += 6)
        ctx.fillRect(X(x), Y(y), 3 * scale, Math.max(1, 0.12 * scale));
    }

    // Beams: as long as to their vehicle and a little more where they are strongest.
    shown.vehicles.forEach((v, i) => {
      const colour = theme.colours[i % theme.colours.length];
      const reach = 1.12 * v.d;
      const points = [];
      const lobe = 2 / of.antennas;
      for (let n = 0; n <= 480; n++) points.push((Math.PI * n) / 480);
      for (let n = -60; n <= 60; n++) points.push(v.phi + (lobe * 2.2 * n) / 60);
      ctx.beginPath();
      ctx.moveTo(X(0), Y(0));
      for (const theta of points.filter((t) => t >= 0 && t <= Math.PI).sort((a, b) => a - b)) {
        ctx.lineTo(...at(theta, reach * response(Math.cos(theta) - Math.cos(v.phi))));
      }
      ctx.closePath();
      ctx.globalAlpha = 0.25 + 0.55 * v.share;
      ctx.fillStyle = colour;
      ctx.fill();
      ctx.globalAlpha = 0.9;
      ctx.strokeStyle = colour;
      ctx.lineWidth = 1;
      ctx.stroke();
      ctx.globalAlpha = 1;
    });

    // The unit.
    ctx.fillStyle = theme.ink;
    ctx.beginPath();
    ctx.arc(X(0), Y(0), Math.max(4, 0.55 * scale), 0, 2 * Math.PI);
    ctx.fill();
    ctx.fillRect(X(-1.6), Y(-0.75), 3.2 * scale, Math.max(2, 0.3 * scale));
    ctx.font = `12px ${theme.font}`;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.fillText("road-side unit", X(2.2), Y(-0.9));

    // Vehicles, where the echo says they are, and their rates.
    const size = [Math.max(14, 4.4 * scale), Math.max(7, 1.9 * scale)];
    const labels = [];
    shown.vehicles.forEach((v, i) => {
      const colour = theme.colours[i % theme.colours.length];
      const [x, y] = at(v.theta, v.d);
      ctx.fillStyle = colour;
      ctx.beginPath();
      ctx.roundRect(x - size[0] / 2, y - size[1] / 2, size[0], size[1], size[1] / 3);
      ctx.fill();
      ctx.fillStyle = theme.card;
      ctx.globalAlpha = 0.75;
      ctx.fillRect(x + 0.12 * size[0], y - 0.36 * size[1], 0.14 * size[0], 0.72 * size[1]);
      ctx.globalAlpha = 1;
      const [sx, sy] = at(...v.seen);
      ctx.strokeStyle = theme.ink;
      ctx.lineWidth = 1.5;
      ctx.beginPath();
      ctx.arc(sx, sy, Math.max(3, 0.42 * scale), 0, 2 * Math.PI);
      ctx.stroke();
      labels.push([x, `${text(v.rate, 1)}`, colour, Math.max(10, Math.min(Y(road + 4), y - size[1] / 2 - 12))]);
    });
    // In the order of the road, none over another.
    ctx.font = `600 13px ${theme.font}`;
    ctx.textAlign = "center";
    labels.sort((a, b) => a[0] - b[0]);
    let free = -Infinity;
    for (const [x, label, colour, y] of labels) {
      const half = ctx.measureText(label).width / 2 + 5;
      const place = Math.min(Math.max(x, free + half, half), w - half);
      ctx.strokeStyle = theme.ground;
      ctx.lineWidth = 4;
      ctx.lineJoin = "round";
      ctx.strokeText(label, place, y);
      ctx.fillStyle = colour;
      ctx.fillText(label, place, y);
      free = place + half;
    }
    ctx.font = `12px ${theme.font}`;
    ctx.fillStyle = theme.quiet;

    // Ten metres.
    ctx.fillRect(w - 12 - 10 * scale, 12, 10 * scale, 2);
    ctx.textAlign = "right";
    ctx.fillText("10 m", w - 12, 24);
  }

  const columns = ["rate, bps/Hz", "power, %", "beam off by, °", "distance, m", "speed, m/s"];

  return {
    view,
    draw,
    height: (w) => Math.round(Math.max(230, Math.min(0.36 * w, 420))),
    caption: (shown, live) =>
      `Road 1 of ${live.envs}, slot ${shown.slot + 1} of ${live.slots}. Numbers: the rate of each vehicle, ` +
      "bps/Hz. Coloured: its beam as the array radiates it; the fuller, the more power. " +
      "Rings: where the last echo says that it is.",
    head: (head) => {
      const row = document.createElement("tr");
      for (const name of ["vehicle", ...columns])
        row.append(Object.assign(document.createElement("th"), { textContent: name, scope: "col" }));
      head.replaceChildren(row);
    },
    table: (body, shown, theme) => {
      while (body.rows.length < K) {
        const row = body.insertRow();
        for (let n = 0; n <= columns.length; n++) row.insertCell();
        row.cells[0].append(
          Object.assign(document.createElement("span"), { className: "chip" }),
          `${body.rows.length}`,
        );
      }
      shown.vehicles.forEach((v, i) => {
        const { cells } = body.rows[i];
        cells[0].firstChild.style.background = theme.colours[i % theme.colours.length];
        const off = Math.abs(degrees(v.phi - v.theta));
        const values = [text(v.rate, 2), text(100 * v.share, 0), text(off, 2), text(v.d, 1), text(v.v, 1)];
        values.forEach((x, n) => (cells[n + 1].textContent = x));
      });
    },
  };
}
