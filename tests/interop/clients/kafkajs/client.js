// kafkajs as a client under test; the steps are described in steps.py.
//
// Three codecs are packages of their own. Those made for kafkajs need a compiler for lz4 and zstd, so
// that these two are put together here from packages that do not.

const { createInterface } = require('node:readline')
const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, Partitioners } = require('kafkajs')
const snappy = require('kafkajs-snappy')
const lz4 = require('lz4-napi')
const zstd = require('@bokuweb/zstd-wasm')

const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}
CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: (data) => lz4.decompressFrame(data),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer)),
  decompress: async (data) => Buffer.from(zstd.decompress(data)),
})

// What kafkajs reports goes where it is not taken for a fact.
const logCreator = () => ({ log }) => console.error(log.message, log.error ?? '')

const say = (fact) => process.stdout.write(JSON.stringify(fact) + '\n')
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const newProducer = (kafka, settings = {}) =>
  kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, ...settings })

async function versions () {
  say({ client: require('kafkajs/package.json').version, runtime: `Node.js ${process.versions.node}` })
}

async function produce (kafka, { topic, codec, records }) {
  const producer = newProducer(kafka)
  await producer.connect()
  const messages = records.map((record) => ({ ...record, headers: headersOf(record.headers) }))
  await producer.send({ topic, messages, compression: CODECS[codec] })
  await producer.disconnect()
  say({ produced: records.length })
}

// One name can have several values, in a list.
function headersOf (pairs) {
  const headers = {}
  for (const [name, value] of pairs) {
    headers[name] = name in headers ? [headers[name], value].flat() : value
  }
  return headers
}

function sayRecord (partition, message) {
  const headers = Object.entries(message.headers ?? {}).flatMap(
    ([name, values]) => [values].flat().map((value) => [name, value.toString()])
  )
  const text = (content) => content === null ? null : content.toString()
  const timestamp = Number(message.timestamp)
  say({
    record: {
      partition,
      offset: Number(message.offset),
      key: text(message.key),
      value: text(message.value),
      headers,
      timestamp_ms: timestamp,
    },
  })
}

async function consume (kafka, { topic, count, isolation }) {
  const consumer = kafka.consumer({
    groupId: `${topic}-kafkajs-reader`,
    readUncommitted: isolation === 'read_uncommitted',
    maxWaitTimeInMs: 200,
  })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  let left = count
  await new Promise((resolve) => consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      if (left > 0) sayRecord(partition, message)
      if (--left === 0) resolve()
    },
  }))
  await consumer.disconnect()
}

async function member (kafka, { topic, group }) {
  const consumer = kafka.consumer({
    groupId: group,
    sessionTimeout: 6000,
    heartbeatInterval: 500,
    maxWaitTimeInMs: 200,
  })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    say({ assigned: payload.memberAssignment[topic] ?? [] })
  })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      sayRecord(partition, message)
      await consumer.commitOffsets([{ topic, partition, offset: String(Number(message.offset) + 1) }])
    },
  })
  await askedToStop
  await consumer.disconnect()
}

async function transactions (kafka, { topic, source, group, transactional_id: transactionalId }) {
  const settings = { transactionalId, idempotent: true, maxInFlightRequests: 1 }
  const producer = newProducer(kafka, settings)
  await producer.connect()
  const committed = await producer.transaction()
  for (const value of ['committed-1', 'committed-2']) await committed.send({ topic, messages: [{ value }] })
  await committed.commit()
  say({ did: 'commit' })
  const aborted = await producer.transaction()
  await aborted.send({ topic, messages: [{ value: 'aborted' }] })
  await aborted.abort()
  say({ did: 'abort' })
  await move(kafka, producer, source, group, topic)
  say({ did: 'positions' })
  const fenced = await producer.transaction()
  const successor = newProducer(kafka, settings)
  await successor.connect()
  const last = await successor.transaction()
  await refused('ERR|epoch|fence', async () => {
    await fenced.send({ topic, messages: [{ value: 'fenced' }] })
    await fenced.commit()
  })
  say({ did: 'fenced' })
  await last.send({ topic, messages: [{ value: 'end' }] })
  await last.commit()
  await Promise.all([producer.disconnect(), successor.disconnect()])
}

// One transaction that takes two records from one topic to another.
async function move (kafka, producer, source, group, topic) {
  const consumer = kafka.consumer({ groupId: group, maxWaitTimeInMs: 200 })
  await consumer.connect()
  await consumer.subscribe({ topic: source, fromBeginning: true })
  const messages = []
  await new Promise((resolve) => consumer.run({
    autoCommit: false,
    eachMessage: async ({ message }) => {
      messages.push({ value: `moved-${message.value}` })
      if (messages.length === 2) resolve()
    },
  }))
  const transaction = await producer.transaction()
  await transaction.send({ topic, messages })
  const topics = [{ topic: source, partitions: [{ partition: 0, offset: '2' }] }]
  await transaction.sendOffsets({ consumerGroupId: group, topics })
  await transaction.commit()
  await consumer.disconnect()
}

async function stream (kafka, { topic, count, pause_ms: pauseMs }) {
  const producer = newProducer(kafka, { idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  for (let number = 0; number < count; number++) {
    await producer.send({ topic, messages: [{ value: String(number) }] })
    say({ sent: number })
    await pause(pauseMs)
  }
  await producer.disconnect()
}

async function refused (pattern, action) {
  try {
    await action()
  } catch (error) {
    if (!new RegExp(pattern, 'i').test(`${error.type} ${error.message}`)) throw error
    return
  }
  throw new Error(`not refused as expected: ${pattern}`)
}

function expect (isSo, found) {
  if (!isSo) throw new Error(`unexpected answer: ${JSON.stringify(found)}`)
}

async function call (name, action) {
  try {
    await action()
    say({ call: name })
  } catch (error) {
    say({ call: name, failed: `${error.name}: ${error.message}` })
  }
}

async function admin (kafka, { topic, seen, group }) {
  const client = kafka.admin()
  await client.connect()
  await adminTopics(client, topic)
  await adminConfigs(client, topic)
  await adminRecords(client, seen)
  await adminGroups(client, seen, group)
  await client.disconnect()
}

async function adminTopics (client, topic) {
  const configEntries = [{ name: 'retention.ms', value: '3600000' }]
  const topics = [{ topic, numPartitions: 2, replicationFactor: 1, configEntries }]
  await call('create topic', async () => expect(await client.createTopics({ topics }), 'not created'))
  await call('create topic again: refused', async () => expect(!await client.createTopics({ topics }), 'created'))
  await call('list topics', async () => expect((await client.listTopics()).includes(topic), topic))
  await call('describe topic', async () => {
    const described = await client.fetchTopicMetadata({ topics: [topic] })
    expect(described.topics[0].partitions.length === 2, described)
  })
  await call('create partitions', () => client.createPartitions({ topicPartitions: [{ topic, count: 3 }] }))
  await call('delete topic', async () => {
    await client.createTopics({ topics: [{ topic: `${topic}-gone` }] })
    await client.deleteTopics({ topics: [`${topic}-gone`] })
  })
  await call('describe cluster', async () => {
    const cluster = await client.describeCluster()
    expect(cluster.brokers.length === 1 && cluster.clusterId, cluster)
  })
}

async function adminConfigs (client, topic) {
  const type = ConfigResourceTypes.TOPIC
  const described = async () => {
    const found = await client.describeConfigs({ resources: [{ type, name: topic }], includeSynonyms: false })
    return Object.fromEntries(found.resources[0].configEntries.map((entry) => [entry.configName, entry.configValue]))
  }
  await call('describe configs', async () => {
    const found = await described()
    expect(found['retention.ms'] === '3600000' && found['cleanup.policy'] === 'delete', found)
  })
  await call('alter configs', async () => {
    const configEntries = [{ name: 'retention.ms', value: '7200000' }]
    await client.alterConfigs({ validateOnly: false, resources: [{ type, name: topic, configEntries }] })
    const found = await described()
    expect(found['retention.ms'] === '7200000', found)
  })
}

async function adminRecords (client, seen) {
  await call('delete records', () =>
    client.deleteTopicRecords({ topic: seen, partitions: [{ partition: 0, offset: '4' }] }))
  await call('list offsets', async () => {
    const [found] = await client.fetchTopicOffsets(seen)
    expect(found.low === '4' && found.high === '10', found)
  })
}

async function adminGroups (client, seen, group) {
  await call('list groups', async () => {
    const { groups } = await client.listGroups()
    expect(groups.some(({ groupId }) => groupId === group), groups)
  })
  await call('describe group', async () => {
    const { groups } = await client.describeGroups([group])
    expect(groups[0].state === 'Empty', groups)
  })
  const position = async () => (await client.fetchOffsets({ groupId: group, topics: [seen] }))[0].partitions[0].offset
  await call('list group positions', async () => expect(await position() === '6', await position()))
  await call('alter group positions', async () => {
    await client.setOffsets({ groupId: group, topic: seen, partitions: [{ partition: 0, offset: '7' }] })
    expect(await position() === '7', await position())
  })
  await call('delete group', () => client.deleteGroups([group]))
}

const STEPS = { versions, produce, consume, member, transactions, admin, stream }

const [address, step] = process.argv.slice(2)
const lines = createInterface({ input: process.stdin })
const askedToStop = new Promise((resolve) => lines.once('close', resolve))
lines.once('line', async (line) => {
  try {
    await zstd.init()
    const kafka = new Kafka({ brokers: [address], logCreator, retry: { retries: 20, maxRetryTime: 2000 } })
    await STEPS[step](kafka, JSON.parse(line))
    process.stdout.end(() => process.exit(0))
  } catch (error) {
    console.error(error)
    process.exit(1)
  }
})
