import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { fileStore, httpStore, s3Store } from '../lib/loadit/index.js'
import { signS3 } from '../lib/loadit/s3.js'
import { folder, until } from './fixtures/loadit-kit.js'
import { bytes, fails, kinds, s3, server } from './fixtures/remote-kit.js'
import { ACCESS } from './fixtures/s3-server.js'
import { within } from './fixtures/stream-kit.js'

/*
 * The stores themselves, one request at a time.
 */

test('signatures are those of the documentation of AWS', (t) => {
  const who = {
    region: 'us-east-1',
    accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
    secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  }
  const at = 'https://examplebucket.s3.amazonaws.com'
  const sign = (url: string, headers: Record<string, string>): string | undefined =>
    signS3(who, { method: 'GET', url, headers, body: new Uint8Array(0) }, new Date('2013-05-24T00:00:00Z'))
      .authorization
  t.is(
    sign(`${at}/test.txt`, { range: 'bytes=0-9' }),
    'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;range;' +
      'x-amz-content-sha256;x-amz-date, Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  )
  const listed = sign(`${at}/?max-keys=2&prefix=J`, {})
  t.true(listed?.endsWith('Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7'))
})

for (const [name, make] of Object.entries(kinds)) {
  test(`a store, ${name}: keys are put once and read whole, in parts and from the end`, async (t) => {
    const { store, writer } = await make(t)
    const put = async (key: string, data: Uint8Array) => within(writer.put?.(key, data) as Promise<unknown>, 'put')
    const get = (key: string, o?: { offset?: number; length?: number }) => within(store.get(key, o), 'get')
    t.is(await get('0.shd'), undefined)
    const all = bytes(200_000)
    t.is(await put('0.shd', all), 'stored')
    t.is(await put('0.shd', bytes(3)), 'exists')
    t.deepEqual(await get('0.shd'), all)
    for (const [offset, length] of [
      [0, 1],
      [0, 200_000],
      [5, 70_000],
      [199_999, 1],
      [199_000, 5000],
      [200_000, 5],
      [300_000, 5],
      [7, 0],
    ] as const) {
      t.deepEqual(await get('0.shd', { offset, length }), all.slice(offset, offset + length), `${offset} ${length}`)
    }
    t.deepEqual(await get('0.shd', { offset: 150_000 }), all.slice(150_000))
    for (const last of [1, 65_536, 200_000, 300_000]) {
      t.deepEqual(await get('0.shd', { offset: -last }), all.slice(-last), `the last ${last}`)
    }
    t.deepEqual(await get('0.shd', { offset: -100, length: 10 }), all.slice(-100, -90))
    const odd = ['with space', 'a+b', 'ä ü/ж%20.shd', "all of !*'()", 'percent%2F', 'e=m&c?#']
    for (const key of odd) t.is(await put(key, new TextEncoder().encode(key)), 'stored')
    for (const key of odd) t.is(new TextDecoder().decode(await get(key)), key)
    t.is(await put('empty', new Uint8Array(0)), 'stored')
    t.deepEqual(await get('empty'), new Uint8Array(0))
    t.deepEqual(await get('empty', { offset: -10 }), new Uint8Array(0))
  })
}

test('G6: keys that lead elsewhere, and addresses that are none, are refused', async (t) => {
  const web = httpStore('http://127.0.0.1:1/x/')
  const all = [fileStore(folder(t)), web, s3Store({ ...ACCESS, url: 'http://127.0.0.1:1/x/' })]
  for (const store of all) {
    for (const key of ['', '/', '../up', 'a/../../b', '.', 'a//b', '/etc/passwd', 'a\\b', 'nul\0', 7]) {
      await fails(t, store.get(key as string), 'MILL_INVALID_ARGUMENT')
      if (store.put !== undefined) await fails(t, store.put(key as string, bytes(1)), 'MILL_INVALID_ARGUMENT')
    }
    for (const o of [{ offset: 0.5 }, { offset: NaN }, { length: -1 }, { signal: 1 as never }]) {
      await fails(t, store.get('a', o), 'MILL_INVALID_ARGUMENT')
    }
  }
  t.is(web.put, undefined)
  for (const url of ['', 'x/', 'ftp://a/', 'http://a/b', 'http://u:p@a/', 'http://a/?b/', 'http://a/%/']) {
    t.throws(() => httpStore(url), { code: 'MILL_INVALID_ARGUMENT' }, url)
    t.throws(() => s3Store({ ...ACCESS, url }), { code: 'MILL_INVALID_ARGUMENT' }, url)
  }
  const secret = t.throws(() => s3Store({ ...ACCESS, url: 'http://a/', secretAccessKey: ['hidden'] as never }))
  t.false(JSON.stringify({ ...secret, message: secret?.message }).includes('hidden'))
  t.throws(() => fileStore(''), { code: 'MILL_INVALID_ARGUMENT' })
  t.throws(() => httpStore('http://a/', { timeout: 0 }), { code: 'MILL_INVALID_ARGUMENT' })
})

test('G6: a file store follows no link, and writers at the same time leave one whole file', async (t) => {
  const dir = folder(t)
  const store = fileStore(dir)
  writeFileSync(join(dir, 'outside'), 'secret')
  symlinkSync(join(dir, 'outside'), join(dir, '0.shd'))
  await fails(t, store.get('0.shd'), 'MILL_PATH_REFUSED')
  await fails(t, store.put?.('0.shd', bytes(1)) as Promise<unknown>, 'MILL_PATH_REFUSED')
  const datas = Array.from({ length: 8 }, (_, i) => bytes(300_000).fill(i))
  const done = await Promise.all(datas.map((data) => store.put?.('8.shd', data)))
  t.is(done.filter((one) => one === 'stored').length, 1)
  t.deepEqual(new Uint8Array(readFileSync(join(dir, '8.shd'))), datas[done.indexOf('stored')])
  t.deepEqual(readdirSync(dir).sort(), ['0.shd', '8.shd', 'outside'])
})

test('an abort ends a request of any store with its reason', async (t) => {
  const at = await server(t)
  at.objects.set('a', bytes(100_000))
  at.fault = () => 'stall'
  const stores = [s3(at), httpStore(at.url), fileStore(folder(t))]
  for (const store of stores) {
    await t.throwsAsync(within(store.get('a', { signal: AbortSignal.abort(new Error('mine')) }), 'aborted'), {
      message: 'mine',
    })
  }
  for (const store of stores.slice(0, 2)) {
    const control = new AbortController()
    const got = store.get('a', { signal: control.signal })
    const before = at.seen.length
    await until('asked', () => at.seen.length > before - 1)
    control.abort(new Error('mine'))
    await t.throwsAsync(within(got, 'abort'), { message: 'mine' })
  }
})

test('a request that gets nowhere for the timeout has failed, and one that is refused says why', async (t) => {
  const at = await server(t)
  at.objects.set('a', bytes(100_000))
  at.fault = () => 'stall'
  const stalled = await fails(t, s3(at, '', 50).get('a'), 'MILL_REMOTE')
  t.deepEqual([stalled.key, stalled.status, stalled.attempts], ['a', 0, 1])
  at.fault = undefined
  const foreign = s3Store({ ...ACCESS, secretAccessKey: 'another', url: at.url })
  const refused = await fails(t, foreign.get('a'), 'MILL_REMOTE')
  t.deepEqual([refused.status, refused.message], [403, 'a: the server answers 403 SignatureDoesNotMatch'])
  at.fault = () => 'redirect'
  t.is((await fails(t, s3(at).get('a'), 'MILL_REMOTE')).status, 307)
  t.is(at.seen.at(-1)?.key, 'a')
})

test('M3: a store by itself takes no answer for another one', async (t) => {
  const at = await server(t)
  at.objects.set('a', bytes(1000))
  for (const fault of ['other-range', 'short', 'encoded', 'cut', 'hang-up', 'fail'] as const) {
    at.fault = () => fault
    for (const store of [s3(at), httpStore(at.url)]) {
      await fails(t, store.get('a', { offset: 10, length: 100 }), 'MILL_REMOTE')
      await fails(t, store.get('a', { offset: -100 }), 'MILL_REMOTE')
    }
  }
  const answer = (length: number, status: number, headers: Record<string, string>) =>
    httpStore('http://127.0.0.1/', { fetch: async () => new Response(bytes(length), { status, headers }) })
  const range = { 'content-range': 'bytes 0-9/100' }
  t.is((await answer(10, 206, range).get('a', { offset: 0, length: 10 }))?.length, 10)
  for (const store of [
    answer(9, 206, range),
    answer(11, 206, range),
    answer(10, 206, {}),
    answer(10, 206, { 'content-range': 'bytes 0-9/*' }),
    answer(9, 200, { 'content-length': '100' }),
  ]) {
    await fails(t, store.get('a', { offset: 0, length: 10 }), 'MILL_REMOTE')
  }
  await fails(t, answer(10, 206, range).get('a'), 'MILL_REMOTE')
  await fails(t, answer(9, 200, { 'content-length': '10' }).get('a'), 'MILL_REMOTE')
})
