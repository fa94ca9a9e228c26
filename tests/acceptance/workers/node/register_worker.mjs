// The acceptance worker for the `registerWorker` API (npm iii-sdk 0.9 and later); see ../README.md.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { finished } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { TriggerAction, registerWorker } from 'iii-sdk'

const manifest = new URL('node_modules/iii-sdk/package.json', import.meta.url)
const [, minor] = JSON.parse(readFileSync(manifest, 'utf8')).version.split('.').map(Number)

// From 0.22 on, what was a method of the worker or in the SDK itself is in modules of helpers.
const helpers = minor < 22 ? {} : await import('iii-sdk/helpers')
const { http } = minor < 22 ? await import('iii-sdk') : await import('@iii-dev/helpers/http')

const service = process.env.SERVICE
const worker = registerWorker(process.env.III_URL, { workerName: service })

const notes = []
const works = []
const registered = new Map()
const routes = new Map()
const triggers = new Map()
const bells = new Map()
let available = []

// Up to 0.10 a function is registered with an object, from 0.11 with its id.
const registerFunction = (id, handler) =>
  worker.registerFunction(minor < 11 ? { id } : id, handler)

const register = (name, handler) => registerFunction(`${service}::${name}`, handler)

const call = (function_id, payload, timeoutMs) =>
  worker.trigger({ function_id, payload, timeoutMs })

const outcome = (call) =>
  call.then(
    (result) => ({ result }),
    (error) => ({ error: { code: error.code ?? null, message: error.message ?? String(error) } }),
  )

const bellProvider = {
  async registerTrigger({ id, function_id, config }) {
    if (config?.refuse) throw new Error('this bell is not for sale')
    bells.set(id, { id, function_id, config })
  },
  async unregisterTrigger({ id }) {
    bells.delete(id)
  },
}

register('echo', async (data) => data)
register('add', async ({ a, b }) => a + b)
register('fail', async () => {
  throw new Error('told to fail')
})
register('nothing', async () => {})
register('slow', async ({ ms }) => {
  notes.push('slow')
  await delay(ms)
  return 'done'
})
register('remember', async ({ note }) => {
  notes.push(note)
})
register('remembered', async () => notes)
register('make', async ({ size }) => 'x'.repeat(size))
register('work', async (data) => {
  works.push(data)
  const errors = data?.errors ?? []
  const error = errors[works.filter((each) => each?.note === data?.note).length - 1]
  if (error !== undefined) throw new Error(error)
})
register('worked', async () => works)

register('measure', async ({ function_id, data }) => (await call(function_id, data)).length)
register('call', async ({ function_id, data, timeout_ms }) =>
  outcome(call(function_id, data, timeout_ms)),
)
register('call_void', async ({ function_id, data }) => {
  await worker.trigger({ function_id, payload: data, action: TriggerAction.Void() })
})
register('enqueue', async ({ queue, function_id, data }) =>
  worker.trigger({ function_id, payload: data, action: TriggerAction.Enqueue({ queue }) }),
)
register('call_parallel', async ({ function_id, items }) =>
  Promise.all(items.map((item) => call(function_id, item))),
)

register('list_functions', async () => {
  const functions = worker.listFunctions
    ? await worker.listFunctions()
    : (await call('engine::functions::list', {})).functions
  return functions.map((f) => f.function_id)
})
register('list_workers', async () => {
  const workers = worker.listWorkers
    ? await worker.listWorkers()
    : (await call('engine::workers::list', {})).workers
  return workers.map(({ name, runtime, version }) => ({ name, runtime, version }))
})
register('list_triggers', async () =>
  (await worker.listTriggers()).map(({ trigger_type, function_id }) => ({
    trigger_type,
    function_id,
  })),
)

register('register', async ({ id }) => {
  registered.set(id, registerFunction(id, async (data) => data))
})
register('unregister', async ({ id }) => {
  registered.get(id).unregister()
})

register('open_route', async ({ path }) => {
  const config = { api_path: path, http_method: 'GET' }
  routes.set(
    path,
    worker.registerTrigger({ type: 'api', function_id: `${service}::get_item`, config }),
  )
})
register('close_route', async ({ path }) => {
  routes.get(path).unregister()
})

register('bind', async ({ trigger_type, function_id, config }) => {
  triggers.set(function_id, worker.registerTrigger({ type: trigger_type, function_id, config }))
})
register('unbind', async ({ function_id }) => {
  triggers.get(function_id).unregister()
})
register('offer', async ({ id }) => {
  worker.registerTriggerType({ id, description: 'One more bell' }, bellProvider)
})
register('bells', async () => [...bells.values()])
register('ring', async ({ function_id, payload }) => {
  const rung = [...bells.values()].filter((bell) => bell.function_id === function_id)
  return Promise.all(rung.map(() => call(function_id, payload)))
})
register('available', async () => available)

// What the byte at each place of a body is, whoever writes it.
const pattern = (size) => Buffer.from(Array.from({ length: size }, (_, i) => i % 251))

const summary = (data) => ({ size: data.length, is_right: pattern(data.length).equals(data) })

register('open_channel', async () => {
  const channel = await (helpers.createChannel?.(worker) ?? worker.createChannel())
  return { writer: channel.writerRef, reader: channel.readerRef }
})
register('write_channel', async ({ writer, size, message }) => {
  writer.sendMessage(message)
  writer.stream.end(pattern(size))
  await finished(writer.stream)
})
register('read_channel', async ({ reader }) => {
  const messages = []
  reader.onMessage((message) => messages.push(message))
  return { messages, ...summary(await reader.readAll()) }
})

register(
  'download',
  http(async (req, res) => {
    res.status(201)
    res.headers({ 'content-type': 'application/octet-stream', 'x-by': service })
    res.stream.end(pattern(Number(req.path_params.size)))
  }),
)
register(
  'upload',
  http(async (req) => ({ status_code: 200, body: summary(await req.request_body.readAll()) })),
)
register(
  'events',
  http(async (req, res) => {
    res.headers({ 'content-type': 'text/event-stream' })
    for (let number = 0; number < Number(req.path_params.count); number++) {
      if (!res.stream.write(`data: ${number}\n\n`)) await once(res.stream, 'drain')
    }
    res.stream.end()
  }),
)

const items = new Map()

register('own_stream', async ({ name }) => {
  const group = ({ group_id }) => {
    if (!items.has(group_id)) items.set(group_id, new Map())
    return items.get(group_id)
  }
  const stream = {
    get: async (input) => group(input).get(input.item_id) ?? null,
    set: async (input) => {
      const old_value = group(input).get(input.item_id) ?? null
      group(input).set(input.item_id, { ...input.data, kept_by: service })
      return { old_value, new_value: group(input).get(input.item_id) }
    },
    delete: async (input) => {
      const old_value = group(input).get(input.item_id) ?? null
      group(input).delete(input.item_id)
      return { old_value }
    },
    list: async (input) => [...group(input).values()],
    listGroups: async () => [...items.keys()],
    update: async () => null,
  }
  if (helpers.createStream) helpers.createStream(worker, name, stream)
  else worker.createStream(name, stream)
})

register('get_item', async ({ path_params }) => ({
  status_code: 200,
  headers: { 'content-type': 'application/json' },
  body: { id: path_params.id, by: service },
}))

worker.registerTriggerType({ id: `${service}::bell`, description: 'Rings on demand' }, bellProvider)
worker.registerTrigger({
  type: 'http',
  function_id: `${service}::get_item`,
  config: { api_path: `/${service}/items/:id`, http_method: 'GET' },
})
for (const [name, method, path] of [
  ['download', 'GET', 'download/:size'],
  ['upload', 'POST', 'upload'],
  ['events', 'GET', 'events/:count'],
]) {
  const config = { api_path: `/${service}/${path}`, http_method: method }
  worker.registerTrigger({ type: 'http', function_id: `${service}::${name}`, config })
}
worker.onFunctionsAvailable?.((functions) => {
  available = functions.map((f) => f.function_id)
})

process.on('SIGTERM', async () => {
  await worker.shutdown()
  process.exit(0)
})

await call(`${service}::echo`, {}, 60_000)
console.log('ready')
