// Example data of the demo Superset: customers and their orders over two years, the same at every start.

/** A table with its rows. */
export interface WarehouseTable {
  readonly name: string;
  readonly columns: readonly { readonly name: string; readonly type: 'INTEGER' | 'REAL' | 'TEXT' }[];
  readonly rows: readonly (readonly (string | number)[])[];
}

const countries = [
  ['Germany', 'EMEA'],
  ['France', 'EMEA'],
  ['Poland', 'EMEA'],
  ['United States', 'AMER'],
  ['Canada', 'AMER'],
  ['Brazil', 'AMER'],
  ['Japan', 'APAC'],
  ['Australia', 'APAC'],
] as const;
const segments = ['Enterprise', 'Mid-market', 'Small business'] as const;
const channels = ['Direct', 'Partner', 'Web'] as const;
const products = [
  ['Roadster', 'Classic Cars', 118],
  ['Coupe', 'Classic Cars', 96],
  ['Pickup', 'Trucks and Buses', 74],
  ['City Bus', 'Trucks and Buses', 88],
  ['Cruiser', 'Motorcycles', 63],
  ['Scooter', 'Motorcycles', 41],
  ['Schooner', 'Ships', 79],
  ['Biplane', 'Planes', 67],
] as const;
const customerColumns = [
  integer('customer_id'),
  text('customer_name'),
  text('segment'),
  text('country'),
  text('region'),
];
const orderColumns = [
  integer('order_id'),
  text('order_date'),
  integer('customer_id'),
  text('country'),
  text('region'),
  text('product_line'),
  text('product'),
  text('channel'),
  integer('quantity'),
  real('unit_price'),
  real('revenue'),
];
const customerCount = 40;
const orderCount = 480;
const dayMs = 86_400_000;
const firstDayMs = Date.UTC(2024, 0, 1);
const dayCount = 731;

/** Both tables. Pure and deterministic. */
export function warehouseTables(): readonly [WarehouseTable, WarehouseTable] {
  const random = createRandom(20_240_101);
  const customers = Array.from({ length: customerCount }, (_, index) => {
    const [country, region] = pick(countries, random);
    return [index + 1, `Customer ${String(index + 1).padStart(2, '0')}`, pick(segments, random), country, region];
  });
  const orders = Array.from({ length: orderCount }, (_, index) => {
    const day = Math.floor((index / orderCount) * dayCount);
    const [product, line, listPrice] = pick(products, random);
    const quantity = 1 + Math.floor(random() * 40);
    const price = Math.round(listPrice * (0.8 + random() * 0.3) * 100) / 100;
    const customer = customers[Math.floor(random() * customers.length)] ?? [];
    return [
      10_001 + index,
      new Date(firstDayMs + day * dayMs).toISOString().slice(0, 10),
      customer[0] ?? 0,
      customer[3] ?? '',
      customer[4] ?? '',
      line,
      product,
      pick(channels, random),
      quantity,
      price,
      Math.round(quantity * price * 100) / 100,
    ];
  });
  return [
    { name: 'customers', columns: customerColumns, rows: customers },
    { name: 'orders', columns: orderColumns, rows: orders },
  ];
}

function text(name: string) {
  return { name, type: 'TEXT' as const };
}

function real(name: string) {
  return { name, type: 'REAL' as const };
}

function integer(name: string) {
  return { name, type: 'INTEGER' as const };
}

function pick<T>(items: readonly T[], random: () => number): T {
  return items[Math.floor(random() * items.length)] as T;
}

/** A linear congruential generator (Numerical Recipes), the same on every platform. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
