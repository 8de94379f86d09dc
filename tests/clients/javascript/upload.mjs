// Uploads a file with tus-js-client, so that the tests have a real client to disturb.
//
//   node upload.mjs URL FILE MODE
//
// It goes on trying for half a minute when the server is away. After every chunk that the server
// took it says `progress BYTES` on standard error, and then waits for SLOW_MS milliseconds; a chunk
// has CHUNK_BYTES bytes, unless given 256 KiB. At the end it prints one line of JSON.

import { createHash } from 'node:crypto'
import { createReadStream, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { DefaultHttpStack, FileUrlStorage, Upload } from 'tus-js-client'

const [endpoint, file, mode] = process.argv.slice(2)
const slowMs = Number(process.env.SLOW_MS ?? 0)
const size = statSync(file).size
const folder = mkdtempSync(join(tmpdir(), 'upload-'))

const report = {
  url: null,
  location: null,
  requests: { POST: 0, HEAD: 0, PATCH: 0 },
  bytes_sent: 0,
}

/** How far each upload is, by its URL: parallel ones are several. */
const offsets = new Map()

/** Is called whenever bytes of a body are about to be sent. */
let onSending = () => {}

/** Counts the bytes of the bodies, of those too that do not arrive. */
class CountingHttpStack extends DefaultHttpStack {
  createRequest(method, url) {
    const request = super.createRequest(method, url)
    const send = request.send.bind(request)
    const count = (bytes) => {
      report.bytes_sent += bytes?.length ?? 0
      onSending()
    }
    request.send = (body) => {
      if (body instanceof Readable) body.on('data', count)
      else count(body)
      return send(body)
    }
    return request
  }
}

const common = {
  endpoint,
  chunkSize: Number(process.env.CHUNK_BYTES ?? 256 * 1024),
  retryDelays: Array(60).fill(500),
  metadata: { filename: basename(file), filetype: 'application/octet-stream' },
  urlStorage: new FileUrlStorage(join(folder, 'urls.json')),
  httpStack: new CountingHttpStack(),
  onBeforeRequest: (request) => {
    report.requests[request.getMethod()] += 1
  },
  onAfterResponse: async (request, response) => {
    report.location = response.getHeader('Content-Location') ?? report.location
    const hadBytes = request.getHeader('Content-Type') !== undefined
    if (!hadBytes || response.getStatus() >= 300) return
    const url = new URL(response.getHeader('Location') ?? request.getURL(), endpoint)
    offsets.set(url.href, Number(response.getHeader('Upload-Offset')))
    console.error('progress', [...offsets.values()].reduce((sum, each) => sum + each))
    await sleep(slowMs)
  },
}

/** Uploads until the end, or aborts when so many bytes were sent in all. */
function run(upload, bytes = Infinity) {
  return new Promise((resolve, reject) => {
    upload.options.onSuccess = () => {
      report.url = upload.url
      resolve()
    }
    upload.options.onError = reject
    onSending = () => {
      if (report.bytes_sent > bytes) resolve(upload.abort())
    }
    upload.start()
  })
}

/** An upload that goes on where an earlier one of the same file was, if there was one. */
async function resumed(options) {
  const upload = new Upload(createReadStream(file), { ...common, ...options })
  const [previous] = await upload.findPreviousUploads()
  if (previous) upload.resumeFromPreviousUpload(previous)
  return upload
}

const modes = {
  plain: () => run(new Upload(createReadStream(file), common)),

  abort: async () => {
    const points = Array.from({ length: 3 }, () => Math.random() * size).sort((a, b) => a - b)
    for (const point of points) await run(await resumed(), point)
    await run(await resumed())
  },

  // The client repeats everything but the request that joins the parts, if that gets no answer.
  parallel: async () => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await run(await resumed({ parallelUploads: 4 }))
      } catch (error) {
        if (error.originalRequest || attempt === 5) throw error
        offsets.clear()
      }
    }
  },

  // The client waits for ever for bytes after the last chunk if that is a full one.
  deferred: () => {
    const chunkSize = size % common.chunkSize === 0 ? common.chunkSize - 1 : common.chunkSize
    const stream = Readable.from(createReadStream(file), { objectMode: false })
    return run(new Upload(stream, { ...common, chunkSize, uploadLengthDeferred: true }))
  },

  'with-sha1': () => {
    const bytes = readFileSync(file)
    const hex = (algorithm) => createHash(algorithm).update(bytes).digest('hex')
    const metadata = { ...common.metadata, sha1: hex('sha1'), sha256: hex('sha256') }
    return run(new Upload(createReadStream(file), { ...common, metadata }))
  },

  'creation-with-upload': () =>
    run(new Upload(createReadStream(file), { ...common, uploadDataDuringCreation: true })),
}

// A client that waits for what never comes lets the process end, too.
process.exitCode = 1
try {
  if (!Object.hasOwn(modes, mode)) throw new Error(`There is no mode ${mode}`)
  await modes[mode]()
  console.log(JSON.stringify(report))
  process.exitCode = 0
} catch (error) {
  console.error(String(error))
} finally {
  rmSync(folder, { recursive: true })
}
