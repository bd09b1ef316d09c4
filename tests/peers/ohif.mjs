// The OHIF viewer's published build, in headless Chromium, against a running server: it lists a study and paints it.
//
//   node ohif.mjs --modules DIR --dist DIR --base-url http://127.0.0.1:P --token T --study UID --patient NAME
//
// A small server of its own gives the build, and hands what is asked below /dicom-web on, with the token: to the
// browser both are one origin. It ends with 0, or says what failed.

import { createReadStream, existsSync, statSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    modules: { type: 'string' },
    dist: { type: 'string' },
    'base-url': { type: 'string' },
    token: { type: 'string' },
    study: { type: 'string' },
    patient: { type: 'string' },
    chromium: { type: 'string', default: '/usr/bin/chromium' },
  },
});

const { chromium } = (await import(path.resolve(options.modules, 'playwright-core', 'index.mjs'))).default;

const KINDS = {
  '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css',
  '.json': 'application/json', '.wasm': 'application/wasm', '.svg': 'image/svg+xml', '.png': 'image/png',
};

// What makes the page cross-origin isolated, which the viewer's shared buffers need.
const ISOLATED = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

const config = root => `window.config = {
  routerBasename: null, extensions: [], modes: [], showStudyList: true, maxNumberOfWebWorkers: 2,
  showWarningMessageForCrossOrigin: false, showCPUFallbackMessage: false, investigationalUseDialog: { option: 'never' },
  defaultDataSourceName: 'medilink',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'medilink',
    configuration: {
      friendlyName: 'Medilink', name: 'medilink',
      wadoUriRoot: '${root}/wado', qidoRoot: '${root}/dicom-web', wadoRoot: '${root}/dicom-web',
      qidoSupportsIncludeField: true, imageRendering: 'wadors', thumbnailRendering: 'wadors',
      enableStudyLazyLoad: true, supportsFuzzyMatching: false, supportsWildcard: true,
      singlepart: 'bulkdata,video', bulkDataURI: { enabled: true }, omitQuotationForMultipartRequest: true,
    },
  }],
};`;

function handOn(request, response) {
  const target = new URL(request.url, options['base-url']);
  const headers = { ...request.headers, authorization: `Bearer ${options.token}` };
  const onward = http.request(target, { method: request.method, headers }, answer => {
    response.writeHead(answer.statusCode, { ...answer.headers, ...ISOLATED });
    answer.pipe(response);
  });
  onward.on('error', error => response.writeHead(502).end(String(error)));
  request.pipe(onward);
}

const server = http.createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://here');
  if (pathname.startsWith('/dicom-web') || pathname === '/wado') {
    asked.push(`${request.method} ${request.url}`);
    return handOn(request, response);
  }
  if (pathname === '/app-config.js') {
    response.writeHead(200, { 'Content-Type': KINDS['.js'], ...ISOLATED });
    return response.end(config(`http://${request.headers.host}`));
  }
  const file = path.join(options.dist, path.normalize(pathname));
  const found = file.startsWith(options.dist) && existsSync(file) && statSync(file).isFile();
  const given = found ? file : path.join(options.dist, 'index.html');
  response.writeHead(200, { 'Content-Type': KINDS[path.extname(given)] ?? 'application/octet-stream', ...ISOLATED });
  createReadStream(given).pipe(response);
});

const asked = [];
const said = [];

// How many shades the largest painted canvas shows.
const shades = page =>
  page.evaluate(async () => {
    let most = 0;
    for (const canvas of document.querySelectorAll('canvas')) {
      if (canvas.width < 64 || canvas.height < 64) continue;
      const copy = document.createElement('canvas');
      [copy.width, copy.height] = [canvas.width, canvas.height];
      const pen = copy.getContext('2d');
      pen.drawImage(canvas, 0, 0);
      const { data } = pen.getImageData(0, 0, copy.width, copy.height);
      const seen = new Set();
      for (let at = 0; at < data.length; at += 4) if (data[at] === data[at + 1]) seen.add(data[at]);
      most = Math.max(most, seen.size);
    }
    return most;
  });

async function until(what, seconds, look) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await look().catch(() => undefined);
    if (found) return found;
    if (Date.now() > end) throw new Error(`not in ${seconds} s: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 250));
  }
}

await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
const root = `http://127.0.0.1:${server.address().port}`;
const browser = await chromium.launch({
  executablePath: options.chromium,
  args: ['--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--no-sandbox', '--disable-dev-shm-usage'],
});
let failure;
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.on('console', message => message.type() === 'error' && said.push(message.text()));
  page.on('pageerror', error => said.push(String(error)));
  await page.goto(root, { waitUntil: 'domcontentloaded' });
  await until(`the study list names ${options.patient}`, 60, () =>
    page.evaluate(name => document.body.innerText.includes(name), options.patient));
  console.log('ok: the study is listed');
  await page.goto(`${root}/viewer?StudyInstanceUIDs=${options.study}`, { waitUntil: 'domcontentloaded' });
  const painted = await until('the image is painted', 120, async () => {
    const count = await shades(page);
    return count > 16 ? count : undefined;
  });
  console.log(`ok: the image is painted in ${painted} shades`);
} catch (error) {
  failure = error;
} finally {
  await browser.close();
  server.close();
}
if (failure) {
  console.error(String(failure), '\nasked:\n', asked.join('\n'), '\nsaid:\n', said.slice(0, 20).join('\n'));
  process.exit(1);
}
process.exit(0);
