'use strict';
(function () {
  const SPAN = 120; // seconds of the plots
  const TREND = 30; // seconds that tell whether a pool fills
  const $ = (id) => document.getElementById(id);
  const looks = []; // what is plotted
  let last = null; // the look before: {at, json, pools}
  let timer = 0;
  let wait = 1000;
  let spoken = null;

  // ---- numbers for people

  const group = (n) => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, '\u202f');
  const known = (n, shown) => (n === null || n === undefined || Number.isNaN(n) ? '–' : shown(n));
  const count = (n) => known(n, group);
  function rate(n) {
    return known(n, (r) => (r >= 100 ? group(r) : r >= 9.95 ? r.toFixed(0) : r.toFixed(1)));
  }
  function took(usec) {
    return known(usec, (u) => {
      if (u < 1000) return Math.round(u) + ' µs';
      if (u < 1e6) return (u / 1e3).toFixed(u < 9950 ? 1 : 0) + ' ms';
      if (u < 6e7) return (u / 1e6).toFixed(u < 9.95e6 ? 1 : 0) + ' s';
      return age(u);
    });
  }
  function age(usec) {
    const s = Math.max(0, Math.floor(usec / 1e6));
    if (s < 60) return s + ' s';
    if (s < 3600) return Math.floor(s / 60) + ' min ' + (s % 60) + ' s';
    if (s < 86400) return Math.floor(s / 3600) + ' h ' + Math.floor((s % 3600) / 60) + ' min';
    return Math.floor(s / 86400) + ' d ' + Math.floor((s % 86400) / 3600) + ' h';
  }
  const sum = (list, of) => list.reduce((n, x) => n + (of(x) || 0), 0);
  const starting = (object, prefix) =>
    sum(Object.keys(object), (key) => (key.startsWith(prefix) ? object[key] : 0));
  const plural = (n, one) => group(n) + ' ' + one + (n === 1 ? '' : 's');

  // ---- the document: what is there is changed, so that a reader's place in it stays

  function put(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }
  function name(node, value) {
    if (node.getAttribute('class') !== value) node.setAttribute('class', value);
  }
  function fit(parent, n, make) {
    while (parent.children.length > n) parent.lastElementChild.remove();
    while (parent.children.length < n) parent.append(make());
    return parent.children;
  }
  const make = (tag) => document.createElement(tag);

  // rows: a list of cells each: a text, or {text, name, ...} for more than that.
  function table(body, rows) {
    const heads = body.parentElement.tHead.rows[0].cells;
    const lines = fit(body, rows.length, () => {
      const line = make('tr');
      line.setAttribute('role', 'row');
      for (let i = 0; i < heads.length; i++) {
        const cell = make(i ? 'td' : 'th');
        cell.setAttribute('role', i ? 'cell' : 'rowheader');
        if (i) cell.setAttribute('data-label', heads[i].textContent);
        else cell.scope = 'row';
        line.append(cell);
      }
      return line;
    });
    rows.forEach((row, y) => row.forEach((cell, x) => {
      const node = lines[y].cells[x];
      const more = typeof cell === 'object' ? cell : {text: cell};
      const side = heads[x].className;
      name(node, [side, more.name, more.text === '–' ? 'none' : ''].filter(Boolean).join(' '));
      if (more.where !== undefined) where(node, more);
      else if (more.max !== undefined) bar(node, more);
      else put(node, more.text);
    }));
  }
  function where(node, cell) {
    let line = node.querySelector('.where');
    if (!line) {
      node.replaceChildren(document.createTextNode(''), make('span'));
      line = node.lastElementChild;
      line.className = 'where';
    }
    if (node.firstChild.data !== cell.text) node.firstChild.data = cell.text;
    put(line, cell.where);
  }
  function bar(node, cell) {
    let meter = node.querySelector('meter');
    if (!meter || !node.querySelector('span')) {
      meter = make('meter');
      node.replaceChildren(meter, make('span'));
    }
    meter.max = cell.max || 1;
    meter.high = 0.995 * meter.max;
    meter.low = 0.75 * meter.max;
    meter.optimum = 0;
    meter.value = cell.value;
    meter.setAttribute('aria-label', cell.text + ' busy');
    put(node.querySelector('span'), cell.text);
  }

  // ---- two looks

  const key = (pool) => pool.service + ' ' + pool.address;
  // Of the clients of both looks in between: their number by bucket.
  function between(before, now) {
    if (!now || !now.buckets) return null;
    const old = new Map(before && before.buckets ? before.buckets : []);
    return now.buckets.map(([at, n]) => [at, Math.max(0, n - (old.get(at) || 0))]);
  }
  function quantile(buckets, q) {
    const all = sum(buckets, (b) => b[1]);
    let seen = 0;
    if (!all) return NaN;
    for (const [at, n] of buckets) if ((seen += n) >= q * all) return at;
    return NaN;
  }
  function merge(lists) {
    const into = new Map();
    for (const list of lists) for (const [at, n] of list || []) into.set(at, (into.get(at) || 0) + n);
    return [...into].sort((a, b) => a[0] - b[0]);
  }
  const ended = (pool) => pool.connections.accepted - pool.connections.open;

  // What a pool did since the look before; null where that is not known.
  function change(pool, before, seconds) {
    if (!before || !pool.connections || !before.connections || seconds <= 0) return null;
    const now = pool.connections, old = before.connections;
    const done = ended(pool) - ended(before);
    if (now.accepted < old.accepted || done < 0) return null;
    return {
      accepted: (now.accepted - old.accepted) / seconds,
      lost: (starting(now, 'refused_') + now.timed_out + starting(now, 'aborted_')
        - starting(old, 'refused_') - old.timed_out - starting(old, 'aborted_')) / seconds,
      done: done,
      usec: now.busy_usec - old.busy_usec,
      times: between(before.times, pool.times),
      waits: between(before.waits, pool.waits),
      full: pool.full - before.full,
    };
  }
  // Seconds until all workers are busy, if it goes on as in the last half minute.
  function fullIn(pool, trend) {
    const n = trend.length;
    if (n < 8 || pool.busy >= pool.workers_max) return Infinity;
    const t0 = sum(trend, (p) => p.t) / n, b0 = sum(trend, (p) => p.busy) / n;
    const slope = sum(trend, (p) => (p.t - t0) * (p.busy - b0)) / sum(trend, (p) => (p.t - t0) ** 2);
    return slope > 0.02 ? (pool.workers_max - pool.busy) / slope : Infinity;
  }

  // ---- the parts of the page

  function state(json, reasons) {
    const good = json.state === 'running' || json.state === 'reloading';
    const text = json.state + (json.degraded ? ', degraded' : '');
    put($('state'), text);
    name($('state'), 'state ' + (!good && json.state !== 'starting' ? 'bad' : json.degraded || !good ? 'fair' : 'good'));
    put($('instance'), json.instance);
    put($('version'), json.version);
    put($('alarm'), reasons.join(' · '));
    $('alarm').hidden = !reasons.length;
    if (spoken !== null && spoken !== text) put($('said'), 'preforkd is ' + text);
    spoken = text;
  }
  function facts(json, now) {
    put($('facts'), 'up ' + age(now - json.started_usec) + ' · generation ' + json.generation + ' · pid ' + json.pid
      + ' · ' + plural(json.reloads, 'reload') + (json.reloads_failed ? ' (' + json.reloads_failed + ' refused)' : ''));
  }
  function reasonsOf(json, pools) {
    const list = [];
    for (const p of pools) {
      const at = p.service + ' at ' + p.address;
      if (p.backoff_usec) list.push(at + ': waits ' + took(p.backoff_usec) + ' before it starts the next worker');
      else if (p.degraded) list.push(at + ': ' + p.workers_ready + ' of ' + plural(p.workers_wanted, 'worker') + ' ready');
      if (full(p)) list.push(at + ': full, ' + (p.queued ? plural(p.queued, 'client') + ' waiting' : 'the next client waits'));
    }
    return list;
  }
  // Who looks at this page keeps one of the workers of its own pool busy.
  const full = (p) => p.busy !== null && p.workers_max > 0 && p.busy >= p.workers_max
    && (p.handler !== 'status' || p.queued > 0);

  function note(pool) {
    const list = [];
    if (pool.degraded) list.push('degraded');
    if (full(pool)) list.push('full');
    else if (pool.fullIn < 300) list.push('full in ' + age(pool.fullIn * 1e6));
    if (pool.workers_leaving) list.push(pool.workers_leaving + ' leaving');
    if (pool.torn) list.push('torn');
    return {text: list.join(', ') || 'ok',
      name: 'all' + (pool.degraded || full(pool) ? ' wrong' : list.length ? ' warn' : '')};
  }
  function losses(n, kind) {
    return {text: count(n), name: n > 0 ? kind : ''};
  }
  function pools(list) {
    table($('pool-rows'), list.map((p) => {
      const c = p.connections || {}, d = p.change;
      const seen = p.connections !== null;
      const q = (of, at) => of && (of.count === undefined || of.count > 0) ? of[at] : NaN;
      return [
        {text: p.service, where: p.address + (p.handler !== p.service ? ' ' + p.handler : '')},
        note(p),
        seen ? {text: count(p.busy), max: p.workers_max, value: p.busy} : '–',
        p.workers_ready + ' of ' + p.workers_max,
        p.queued === null || p.queued === undefined ? '–'
          : {text: count(p.queued) + (p.queue_limit ? ' of ' + count(p.queue_limit) : ''), name: p.queued ? 'warn' : ''},
        rate(d ? d.accepted : NaN),
        took(q(p.times, 'p50_usec')), took(q(p.times, 'p99_usec')), took(q(p.waits, 'p99_usec')),
        count(c.accepted), count(c.finished),
        losses(seen ? starting(c, 'refused_') : NaN, 'warn'),
        losses(c.timed_out, 'warn'),
        losses(seen ? starting(c, 'aborted_') : NaN, 'warn'),
      ];
    }));
  }

  const signs = {busy: 'B', idle: 'i', starting: 'S', leaving: 'L', running: 'R', free: '?'};
  const stateOf = (w) => (w.leaving ? 'leaving' : w.state);
  function grids(list, workers, now) {
    const nodes = fit($('grids'), list.length, () => {
      const figure = make('figure'), caption = make('figcaption'), grid = make('ul');
      caption.append(make('b'), make('span'));
      grid.className = 'grid';
      grid.setAttribute('role', 'img');
      figure.append(caption, grid);
      return figure;
    });
    list.forEach((pool, i) => {
      const mine = workers.get(key(pool)) || [];
      const tally = {};
      for (const w of mine) tally[stateOf(w)] = (tally[stateOf(w)] || 0) + 1;
      const text = plural(mine.length, 'worker')
        + Object.keys(tally).map((s) => ', ' + tally[s] + ' ' + s).join('');
      const [caption, grid] = nodes[i].children;
      name(nodes[i], mine.length > 60 ? 'pool many' : 'pool');
      put(caption.firstChild, pool.service + ' ' + pool.address);
      put(caption.lastChild, text);
      grid.setAttribute('aria-label', pool.service + ' ' + pool.address + ': ' + text);
      const cells = fit(grid, mine.length, () => make('li'));
      mine.forEach((w, k) => {
        const s = stateOf(w);
        name(cells[k], 'w ' + s);
        put(cells[k], signs[s] || '?');
        cells[k].title = 'pid ' + w.pid + ': ' + s + (w.since_usec ? ' for ' + age(now - w.since_usec) : '')
          + (w.client ? ', serves ' + w.client : '') + (w.connections ? ', ' + plural(w.connections.accepted, 'connection') : '');
      });
    });
  }
  function workerTable(list, now) {
    if (!$('worker-details').open) return;
    table($('worker-rows'), list.map((w) => [
      String(w.pid), {text: w.service, where: w.address, name: 'place'}, stateOf(w) + (w.torn ? ' (torn)' : ''),
      w.since_usec ? age(now - w.since_usec) : '–',
      w.connections ? count(w.connections.accepted) : '–',
      String(w.generation), age(now - w.started_usec),
      {text: w.client || '–', name: w.client ? 'all' : 'all empty'},
    ]));
  }
  function ledgerRow(title, ledger, now) {
    const c = ledger.connections;
    return [title, ledger.begun_usec ? age(now - ledger.begun_usec) + ' ago' : '–', count(ledger.workers), count(c.accepted),
      count(c.finished), losses(starting(c, 'refused_'), 'warn'), losses(c.timed_out, 'warn'),
      losses(starting(c, 'aborted_'), 'warn'), count(c.open), losses(ledger.queued_at_close, 'wrong')];
  }
  function ledger(json, now) {
    const rows = json.generations.filter((g) => g.generation || g.connections.accepted)
      .map((g) => ledgerRow(g.generation ? 'generation ' + g.generation : 'generations before', g, now));
    for (const kind of ['reload', 'upgrade', 'stop'])
      if (json.replaced[kind]) rows.push(ledgerRow((kind === 'stop' ? 'the ' : 'last ') + kind, json.replaced[kind], now));
    table($('ledger-rows'), rows);
  }

  // ---- plots

  const SVG = 'http://www.w3.org/2000/svg';
  function shape(svg, tag, kind, attributes) {
    let node = svg.querySelector('.' + kind);
    if (!node) {
      node = document.createElementNS(SVG, tag);
      node.setAttribute('class', kind);
      svg.append(node);
    }
    for (const a in attributes) node.setAttribute(a, attributes[a]);
  }
  // Runs of points without a gap.
  function runs(of, x, y) {
    const list = [];
    let run = null;
    for (const look of looks) {
      const v = look.gap ? NaN : of(look);
      if (v === null || Number.isNaN(v)) { run = null; continue; }
      if (!run) list.push(run = []);
      run.push([x(look.t), y(v)]);
    }
    return list;
  }
  const path = (run) => 'M' + run.map(([x, y]) => x.toFixed(1) + ' ' + y.toFixed(1)).join('L');
  function plot(id, what) {
    const tile = $(id);
    let svg = tile.querySelector('svg'), legend = tile.querySelector('.key');
    if (!svg) {
      svg = document.createElementNS(SVG, 'svg');
      svg.setAttribute('viewBox', '0 0 300 74');
      svg.setAttribute('preserveAspectRatio', 'none');
      svg.setAttribute('role', 'img');
      legend = make('div');
      legend.className = 'key';
      legend.append(make('span'), make('span'), make('span'));
      legend.setAttribute('aria-hidden', 'true');
      tile.append(svg, legend);
    }
    const end = looks[looks.length - 1].t;
    const values = looks.filter((l) => !l.gap).map(what.of).filter((v) => v !== null && !Number.isNaN(v));
    const most = Math.max(0, ...values);
    const top = Math.max(what.least, most * 1.05, what.limit && most > what.limit / 3 ? what.limit * 1.05 : 0);
    const x = (t) => 300 - (end - t) / SPAN * 300, y = (v) => 72 - v / top * 68;
    const lines = runs(what.of, x, y);
    shape(svg, 'path', 'floor', {d: 'M0 73H300'});
    shape(svg, 'path', 'area', {d: lines.map((r) => path(r) + 'L' + r[r.length - 1][0].toFixed(1) + ' 73L' + r[0][0].toFixed(1) + ' 73Z').join('')});
    shape(svg, 'path', 'limit', {d: what.limit && what.limit <= top ? 'M0 ' + y(what.limit).toFixed(1) + 'H300' : ''});
    if (what.second) shape(svg, 'path', 'second', {d: runs(what.second, x, y).map(path).join('')});
    shape(svg, 'path', 'curve', {d: lines.map(path).join('')});
    const now = values.length ? what.show(values[values.length - 1]) : '–';
    put(tile.querySelector('strong'), now);
    put(tile.querySelector('p span'), what.unit);
    put(legend.children[0], '2 min ago');
    put(legend.children[1], 'at most ' + (values.length ? what.show(most) : '–'));
    put(legend.children[2], 'now');
    svg.setAttribute('aria-label', what.title + ' in the last 2 minutes: now ' + now + ', at most ' + (values.length ? what.show(most) : 'unknown'));
  }
  function plots(list) {
    const max = sum(list, (p) => (p.connections ? p.workers_max : 0));
    const look = looks[looks.length - 1];
    plot('tile-rate', {title: 'connections per second', of: (l) => l.rate, second: (l) => l.lost, least: 1, show: rate,
      unit: 'per second' + (look.lost > 0 ? ', ' + rate(look.lost) + ' lost' : '')});
    plot('tile-time', {title: 'time of a connection', of: (l) => l.time, least: 100, show: took,
      unit: Number.isNaN(look.slow) ? 'nobody was served' : look.exact ? 'median, p99 ' + took(look.slow) : 'on average'});
    plot('tile-busy', {title: 'busy workers', of: (l) => l.busy, least: 1, limit: max, show: count, unit: 'of ' + group(max)});
    plot('tile-queue', {title: 'waiting clients', of: (l) => l.queue, least: 4, show: count, unit: 'in queues'});
  }

  // ---- a look, and the next

  function remember(list, at) {
    const moves = list.map((p) => p.change).filter(Boolean);
    const done = sum(moves, (m) => m.done);
    const times = merge(moves.map((m) => m.times));
    const exact = times.length > 0;
    const queues = list.filter((p) => typeof p.queued === 'number');
    looks.push({
      t: at,
      rate: moves.length ? sum(moves, (m) => m.accepted) : NaN,
      lost: moves.length ? sum(moves, (m) => m.lost) : NaN,
      time: exact ? quantile(times, 0.5) : done ? sum(moves, (m) => m.usec) / done : NaN,
      slow: exact ? quantile(times, 0.99) : done ? 0 : NaN,
      exact: exact,
      busy: sum(list, (p) => p.busy),
      queue: queues.length ? sum(queues, (p) => p.queued) : NaN,
    });
    while (looks.length > 1 && at - looks[0].t > SPAN + 5) looks.shift();
  }
  function take(json, now, at) {
    const seconds = last ? at - last.at : 0;
    const mine = new Map(), workers = new Map();
    for (const pool of json.pools) {
      const before = last && last.pools.get(key(pool));
      pool.change = change(pool, before, seconds);
      pool.trend = (before ? before.trend : []).concat({t: at, busy: pool.busy}).filter((p) => at - p.t <= TREND);
      pool.fullIn = fullIn(pool, pool.trend);
      mine.set(key(pool), pool);
    }
    for (const w of json.workers) {
      const list = workers.get(key(w));
      if (list) list.push(w);
      else workers.set(key(w), [w]);
    }
    remember(json.pools, at);
    state(json, reasonsOf(json, json.pools));
    facts(json, now);
    plots(json.pools);
    pools(json.pools);
    grids(json.pools, workers, now);
    workerTable(json.workers, now);
    ledger(json, now);
    last = {at: at, json: json, pools: mine, now: now};
  }
  function live(kind, text) {
    name($('live'), 'live ' + kind);
    put($('live'), text);
  }
  async function look() {
    const began = performance.now();
    try {
      const answer = await fetch('status.json', {cache: 'no-store', credentials: 'same-origin'});
      if (!answer.ok) throw new Error('status.json: ' + answer.status);
      const json = await answer.json();
      const at = performance.now() / 1000;
      take(json, Date.parse(answer.headers.get('Date')) * 1000 || Date.now() * 1000, at);
      // A page of thousands of workers must not keep the server busy.
      wait = Math.min(10000, Math.max(1000, 20 * (performance.now() - began)));
      live('on', wait < 1500 ? 'live, every second' : 'live, every ' + Math.round(wait / 1000) + ' seconds');
    } catch (e) {
      looks.push({t: performance.now() / 1000, gap: true});
      last = null;
      wait = 2000;
      live('off', 'no answer' + (spoken ? ', as it was' : ''));
      if (spoken !== 'lost') put($('said'), 'preforkd does not answer');
      spoken = 'lost';
      if (!(e instanceof TypeError) && !/^status\.json/.test(e.message)) console.error(e);
    }
    timer = document.hidden ? 0 : setTimeout(look, wait);
  }
  document.addEventListener('visibilitychange', () => {
    clearTimeout(timer);
    timer = 0;
    if (document.hidden) {
      looks.push({t: performance.now() / 1000, gap: true});
      last = null;
      live('', 'paused');
    } else {
      look();
    }
  });
  $('worker-details').addEventListener('toggle', () => { if (last) workerTable(last.json.workers, last.now); });
  look();
})();
