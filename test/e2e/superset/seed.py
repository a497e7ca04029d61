"""Fills an empty Superset: two people with different roles, the three clients, a small warehouse, charts, dashboards, row-level security.

Run inside the virtual environment with the folder of the warehouse as argument; the metadata database has been migrated.
"""

import json
import pathlib
import sqlite3
import sys

from superset.app import create_app

TENANTS = ("acme", "globex")


def create_warehouse(file):
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE sales (day TEXT, tenant TEXT, product TEXT, amount REAL, note TEXT)")
        connection.execute("CREATE TABLE payroll (person TEXT, salary REAL)")
        products = ("kettle", "teapot", "Tässchen ☕")
        connection.executemany(
            "INSERT INTO sales VALUES (?, ?, ?, ?, ?)",
            [
                (f"2026-{1 + i % 12:02}-{1 + i % 28:02}", TENANTS[i % 2], products[i % 3], i * 1.5, f"row {i} of {TENANTS[i % 2]}")
                for i in range(3000)
            ],
        )
        connection.executemany("INSERT INTO payroll VALUES (?, ?)", [("Ada", 90000), ("Blaise", 80000)])


def main(folder):
    from superset import security_manager as sm
    from superset.connectors.sqla.models import RowLevelSecurityFilter, SqlaTable
    from superset.extensions import db
    from superset.models.core import Database
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice

    warehouse = pathlib.Path(folder) / "warehouse.sqlite"
    create_warehouse(warehouse)

    def grant(role, permission, view):
        sm.add_permission_role(role, sm.add_permission_view_menu(permission, view))

    def add_user(name, *roles):
        found = [sm.find_role(role) for role in roles]
        assert all(found), roles
        assert sm.add_user(name, name.capitalize(), "Test", f"{name}@example.com", found, password=f"{name}-password"), name

    database = Database(database_name="warehouse", sqlalchemy_uri=f"sqlite:///{warehouse}", expose_in_sqllab=True)
    db.session.add(database)
    db.session.commit()
    sm.add_permission_view_menu("database_access", database.perm)

    tables, charts = {}, {}
    for name, columns in {"sales": ["day", "tenant", "product", "amount", "note"], "payroll": ["person", "salary"]}.items():
        table = SqlaTable(table_name=name, schema="main", database=database)
        db.session.add(table)
        db.session.flush()
        table.fetch_metadata()
        db.session.commit()
        form = {"viz_type": "table", "query_mode": "raw", "all_columns": columns, "row_limit": 1000, "datasource": f"{table.id}__table"}
        query = {"columns": columns, "metrics": [], "filters": [], "orderby": [], "row_limit": 1000, "extras": {}}
        chart = Slice(
            slice_name=f"{name} rows",
            viz_type="table",
            datasource_type="table",
            datasource_id=table.id,
            params=json.dumps(form),
            query_context=json.dumps(
                {"datasource": {"id": table.id, "type": "table"}, "queries": [query], "form_data": form, "result_format": "json", "result_type": "full"}
            ),
        )
        db.session.add(chart)
        tables[name], charts[name] = table, chart
    db.session.commit()

    for slug, title, chart in (("sales", "Sales", "sales"), ("payroll", "Payroll", "payroll")):
        db.session.add(Dashboard(dashboard_title=title, slug=slug, published=True, slices=[charts[chart]]))
    db.session.commit()

    reader, analyst, sql = sm.add_role("SalesReader"), sm.add_role("PayrollReader"), sm.add_role("WarehouseSql")
    grant(reader, "datasource_access", tables["sales"].perm)
    grant(analyst, "datasource_access", tables["payroll"].perm)
    grant(sql, "database_access", database.perm)
    for tenant in TENANTS:
        role = sm.add_role(f"Tenant_{tenant}")
        grant(role, "datasource_access", tables["sales"].perm)
        db.session.add(
            RowLevelSecurityFilter(
                name=f"rows of {tenant}",
                filter_type="Regular",
                tables=[tables["sales"]],
                roles=[role],
                clause=f"tenant = '{tenant}'",
            )
        )
    db.session.commit()

    add_user("admin", "Admin")
    add_user("alice", "Gamma", "sql_lab", "SalesReader", "PayrollReader", "WarehouseSql")
    add_user("bob", "Gamma", "SalesReader")
    add_user("gone", "Gamma", "SalesReader")
    sm.find_user("gone").active = False
    add_user("service-account-ai_agent_prod", "Gamma", "sql_lab", "SalesReader", "WarehouseSql")
    add_user("service-account-reporting_tool", "Gamma", "SalesReader")
    add_user("reporting_tool", "Gamma", "SalesReader")
    for tenant in TENANTS:
        add_user(f"tenant-{tenant}", "Gamma", f"Tenant_{tenant}")
    db.session.commit()


app = create_app()
with app.app_context():
    main(sys.argv[1])
